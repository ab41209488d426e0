public import EventBus
public import EventBusOutbox
public import EventBusPostgres
public import GRDB
public import Logging
public import PostgresDriver

/// The database of a service: SQLite for one machine, or PostgreSQL for several.
public enum SQLDatabase: Sendable {
    /// An SQLite database.
    case sqlite(any DatabaseWriter)
    /// A PostgreSQL database: the service's own connections, and those of outbox and inbox.
    case postgres(PostgresPool, events: PostgresClient)

    /// Runs `body` in a transaction that only reads, and sees the database as it was at one moment.
    ///
    /// - Throws: `EventBusError` with code `.unavailable` if the database is unreachable, busy or full; errors of `body`.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (SQLTransaction) throws -> Value
    ) async throws -> Value {
        try await reportingOutages {
            switch self {
            case .sqlite(let writer): try await writer.read { db in try body(SQLTransaction(db)) }
            case .postgres(let pool, _): try await pool.read { transaction in try body(SQLTransaction(transaction)) }
            }
        }
    }

    /// Runs `body` in a transaction, which commits if `body` returns and is rolled back if it throws.
    ///
    /// - Throws: The errors of ``read(_:)``.
    public func write<Value: Sendable>(
        _ body: @escaping @Sendable (SQLTransaction) throws -> Value
    ) async throws -> Value {
        try await reportingOutages {
            switch self {
            case .sqlite(let writer): try await writer.write { db in try body(SQLTransaction(db)) }
            case .postgres(let pool, _): try await pool.write { transaction in try body(SQLTransaction(transaction)) }
            }
        }
    }

    /// Returns the relay that publishes the events in the outbox of the database to `bus`.
    public func relay(
        to bus: EventBus,
        configuration: OutboxRelay.Configuration = .init(),
        logger: Logger
    ) throws -> OutboxRelay {
        switch self {
        case .sqlite(let writer):
            OutboxRelay(database: writer, bus: bus, configuration: configuration, logger: logger)
        case .postgres(_, let client):
            try OutboxRelay(client, bus: bus, configuration: configuration, logger: logger)
        }
    }

    /// Closes all connections.
    public func close() async {
        switch self {
        case .sqlite(let writer):
            // The last connection merges the log into the database. If it cannot, the next process does.
            try? writer.close()
        case .postgres(let pool, let client):
            await pool.close()
            await client.close()
        }
    }
}
