import EventBusPostgres
public import Logging
import PostgresDriver

extension SQLDatabase {
    /// Creates a PostgreSQL database, to which it connects when it is first used.
    ///
    /// - Parameters:
    ///   - connectionString: A connection string of libpq.
    ///   - logger: The logger for lost connections.
    /// - Throws: `EventBusError` or `PostgresError` for an invalid connection string, without the password.
    public init(postgres connectionString: String, logger: Logger) throws {
        let pool = try PostgresPool(connectionString)
        self = .postgres(pool, events: try PostgresClient(PostgresConfiguration(connectionString), logger: logger))
    }

    /// Creates or upgrades the tables of a PostgreSQL database. Several processes may do so at the same time.
    ///
    /// - Parameter scripts: The scripts of the service's tables by name, oldest first. A released script is never changed.
    /// - Throws: `EventBusError` or `PostgresError`.
    public func migrate(_ scripts: KeyValuePairs<String, String>) async throws {
        guard case .postgres(let pool, let client) = self else { return }
        try await client.migrate()
        try await reportingOutages {
            try await pool.write { transaction in
                try transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended('shop_migration', 0))")
                try transaction.execute("CREATE TABLE IF NOT EXISTS shop_migration (name text PRIMARY KEY)")
                for (name, script) in scripts {
                    let isNew = try transaction.execute(
                        "INSERT INTO shop_migration (name) VALUES ($1) ON CONFLICT DO NOTHING",
                        [.text(name)]
                    )
                    if isNew.affectedCount == 1 { try transaction.executeScript(script) }
                }
            }
        }
    }
}
