public import EventBus
import EventBusOutbox
import EventBusPostgres
import PostgresDriver

/// The outbox of a service's database, which stores events in the transactions of the service.
public struct SQLOutbox: Sendable {
    private let sqlite: Outbox
    private let postgres: PostgresOutbox?

    /// Creates the outbox of `database` for the events of `bus`.
    public init(_ database: SQLDatabase, bus: EventBus) {
        sqlite = Outbox(bus: bus)
        postgres = if case .postgres(_, let client) = database { PostgresOutbox(client, bus: bus) } else { nil }
    }

    /// Stores an event, which is published if `transaction` commits.
    public func publish(
        _ event: some Event,
        options: PublishOptions,
        in transaction: SQLTransaction
    ) throws {
        switch transaction.connection {
        case .sqlite(let db):
            try sqlite.publish(event, options: options, in: db)
        case .postgres(let transaction):
            guard let postgres else { throw ForeignTransaction() }
            try transaction.execute(try postgres.row(for: event, options: options))
        }
    }
}

/// The inbox of a service's database, which records handled events in the transactions of the service.
public struct SQLInbox: Sendable {
    private let sqlite: SQLiteInbox?
    private let postgres: PostgresInbox?

    /// Creates the inbox of `database`.
    public init(_ database: SQLDatabase) {
        switch database {
        case .sqlite(let writer): (sqlite, postgres) = (SQLiteInbox(database: writer), nil)
        case .postgres(_, let client): (sqlite, postgres) = (nil, PostgresInbox(client))
        }
    }

    /// Handles an event at most once. If `body` throws, its changes and the record of the event are taken back, even if
    /// the transaction continues.
    ///
    /// - Returns: The result of `body`, or `nil` if the event was handled before and `body` did not run.
    public func performOnce<Result>(
        _ key: InboxKey,
        in transaction: SQLTransaction,
        _ body: (SQLTransaction) throws -> Result
    ) throws -> Result? {
        switch transaction.connection {
        case .sqlite(let db):
            guard let sqlite else { throw ForeignTransaction() }
            return try sqlite.performOnce(key, in: db) { db in try body(SQLTransaction(db)) }
        case .postgres(let inner):
            guard let postgres else { throw ForeignTransaction() }
            return try inner.savepoint {
                guard try inner.execute(try postgres.row(for: key)).affectedCount == 1 else { return nil }
                return try body(transaction)
            }
        }
    }
}

/// The error for a transaction of another kind of database.
private struct ForeignTransaction: Error {}

extension PostgresTransaction {
    /// Carries out a statement of the outbox or the inbox, as any driver can.
    @discardableResult
    fileprivate func execute(_ statement: PostgresStatement) throws -> PostgresResult {
        try execute(statement.sql, statement.values.map(SQLValue.init))
    }
}

extension SQLValue {
    /// Creates the value that the driver sends for a value of the library.
    fileprivate init(_ value: PostgresValue) {
        self =
            switch value {
            case .null: .null
            case .text(let text): .text(text)
            case .integer(let number): .integer(number)
            case .boolean(let flag): .boolean(flag)
            case .bytes(let bytes): .bytes(bytes)
            case .integers, .texts: preconditionFailure("the statements for a service's transaction have no arrays")
            }
    }
}
