import FoundationEssentials
public import GRDB
public import PostgresDriver

/// A running transaction of a service's database. Stores are written once, in the SQL that SQLite and PostgreSQL share.
public struct SQLTransaction {
    enum Connection {
        case sqlite(Database)
        case postgres(PostgresTransaction)
    }

    let connection: Connection

    /// Creates the transaction of an SQLite connection.
    public init(_ db: Database) {
        connection = .sqlite(db)
    }

    /// Creates the transaction of a PostgreSQL connection.
    public init(_ transaction: PostgresTransaction) {
        connection = .postgres(transaction)
    }

    /// Carries out a statement without rows.
    ///
    /// - Parameters:
    ///   - sql: The statement. Its placeholders are `$1`, `$2` and so on, and first occur in this order.
    ///   - values: The values of the placeholders.
    /// - Returns: The number of rows that were inserted, changed or deleted.
    /// - Throws: A `DatabaseError` of GRDB or a `PostgresError`.
    @discardableResult
    public func execute(_ sql: String, _ values: [SQLValue] = []) throws -> Int {
        switch connection {
        case .sqlite(let db):
            try db.cachedStatement(sql: sql).execute(arguments: StatementArguments(values.map(\.databaseValue)))
            return db.changesCount
        case .postgres(let transaction):
            return try transaction.execute(sql, values).affectedCount
        }
    }

    /// Carries out a query and returns its rows. See ``execute(_:_:)``.
    public func rows(_ sql: String, _ values: [SQLValue] = []) throws -> [SQLRow] {
        switch connection {
        case .sqlite(let db):
            let statement = try db.cachedStatement(sql: sql)
            let arguments = StatementArguments(values.map(\.databaseValue))
            return try Row.fetchAll(statement, arguments: arguments).map { SQLRow(.sqlite($0)) }
        case .postgres(let transaction):
            return try transaction.execute(sql, values).rows.map { SQLRow(.postgres($0)) }
        }
    }

    // MARK: Concurrency

    /// The clause of a query that keeps other transactions from changing its rows. It is empty for SQLite, whose writing
    /// transactions follow one another.
    public var forUpdate: String { isConcurrent ? "FOR UPDATE" : "" }

    /// The same as ``forUpdate`` for a query that leaves out the rows that another transaction has locked.
    public var forUpdateSkipLocked: String { isConcurrent ? "FOR UPDATE SKIP LOCKED" : "" }

    /// Makes transactions that call it with the same name follow one another, from this call until they end.
    public func lock(_ name: String) throws {
        guard isConcurrent else { return }
        _ = try rows("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [.text(name)])
    }

    private var isConcurrent: Bool {
        switch connection {
        case .sqlite: false
        case .postgres: true
        }
    }
}

extension SQLValue {
    fileprivate var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .text(let text): text.databaseValue
        case .integer(let number): number.databaseValue
        case .boolean(let flag): flag.databaseValue
        case .bytes(let bytes): Data(bytes).databaseValue
        }
    }
}
