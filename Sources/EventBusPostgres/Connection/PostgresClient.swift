internal import ConnectionThread
public import EventBus
public import Logging

/// The connections of an outbox and an inbox to one PostgreSQL database.
///
/// ```swift
/// let postgres = try PostgresClient(PostgresConfiguration("postgres://shop@localhost/shop"), logger: logger)
/// try await postgres.migrate()
/// ```
///
/// It connects when it is first used, and reconnects with growing delays. It is no driver for the tables of a service,
/// which uses any PostgreSQL client for them. In a `ServiceGroup` it is a service that closes the connection at the end.
/// Elsewhere, call ``close()`` when it is no longer needed.
public final class PostgresClient: Sendable {
    let configuration: PostgresConfiguration
    let logger: Logger
    private let connection: PostgresConnection

    /// Creates a client. It connects when it is first used.
    ///
    /// - Parameters:
    ///   - configuration: The settings of the connections.
    ///   - logger: The logger for lost connections and the release of libpq. Defaults to swift-log's logger with the
    ///     label `eventbus.postgres`.
    /// - Throws: `EventBusError`: `.invalidConfiguration`, which names the value, or `.unavailable` if the process has
    ///   no thread or descriptor left.
    public init(
        _ configuration: PostgresConfiguration,
        logger: Logger = Logger(label: "eventbus.postgres")
    ) throws(EventBusError) {
        try configuration.validate()
        self.configuration = configuration
        self.logger = logger
        self.connection = try PostgresConnection(configuration, logger: logger)
        LinkedLibrary.log(to: logger)
    }

    /// Closes the connection. Later calls fail.
    public func close() async {
        await connection.close()
    }

    /// Carries out statements in one transaction, and returns one result for each.
    ///
    /// - Parameter observer: A brief closure that is called with the results on ``thread``, before the caller is resumed.
    @discardableResult
    func run(
        _ statements: [PostgresStatement],
        observer: (@Sendable ([PostgresResult]) -> Void)? = nil
    ) async throws -> [PostgresResult] {
        try await connection.run(statements, observer: observer).results
    }

    /// Carries out one statement in one transaction.
    @discardableResult
    func run(_ statement: PostgresStatement) async throws -> PostgresResult {
        guard let result = try await connection.run([statement]).results.first else {
            throw EventBusError(.indeterminate, "PostgreSQL did not answer every statement")
        }
        return result
    }

    /// The thread that serves the connection.
    var thread: ConnectionThread { connection.thread }

    /// Carries out statements in one transaction without a waiting task.
    ///
    /// - Parameter onResults: A brief closure that is called once with one result for each statement, on ``thread``.
    func send(
        _ statements: [PostgresStatement],
        onResults: @escaping @Sendable (Result<[PostgresResult], any Error>) -> Void
    ) {
        connection.send(statements) { answer in onResults(answer.map(\.results)) }
    }

    // MARK: Migrations

    /// The migrations of the tables, oldest first. The names of all tables begin with `eventbus_`.
    ///
    /// A service that has a tool for its migrations can print them and add them there.
    public static let migrations = [PostgresMigration.outboxV1, .inboxV1]

    /// Applies the migrations that have not been applied. Several processes may call it at the same time.
    ///
    /// - Throws: `EventBusError`.
    public func migrate() async throws {
        try await run([
            PostgresStatement("SELECT pg_advisory_xact_lock(?)", [.integer(PostgresMigration.lock)]),
            PostgresStatement(PostgresMigration.table),
        ])
        for migration in Self.migrations {
            // The check and the changes are one statement, in the same transaction as the lock.
            try await run([
                PostgresStatement("SELECT pg_advisory_xact_lock(?)", [.integer(PostgresMigration.lock)]),
                PostgresStatement(migration.conditionalSQL),
            ])
        }
    }
}
