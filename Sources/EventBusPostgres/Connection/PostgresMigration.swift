/// One change of the tables of outbox and inbox.
///
/// ```swift
/// for migration in PostgresClient.migrations { print("-- \(migration.name)\n\(migration.sql)") }
/// ```
public struct PostgresMigration: Hashable, Sendable {
    /// The name under which it is recorded in the table `eventbus_migration`.
    public let name: String
    /// The statements. They run in one transaction.
    public let sql: String

    /// The number of the advisory lock under which migrations are applied.
    static let lock: Int64 = 0x6576_656E_7462_7573

    static let table = "CREATE TABLE IF NOT EXISTS eventbus_migration (name text PRIMARY KEY)"

    /// The statements, as one that does nothing if they were carried out before.
    var conditionalSQL: String {
        """
        DO $migration$
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM eventbus_migration WHERE name = '\(name)') THEN
        \(sql)
                INSERT INTO eventbus_migration (name) VALUES ('\(name)');
            END IF;
        END
        $migration$
        """
    }

    /// The script of all migrations, for `psql` or another tool. It does nothing for those that were applied before.
    public static var script: String {
        "BEGIN;\n\(table);\n" + PostgresClient.migrations.map { $0.conditionalSQL + ";\n" }.joined() + "COMMIT;\n"
    }
}
