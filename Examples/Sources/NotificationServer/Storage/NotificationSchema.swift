import EventBusOutbox
import GRDB

/// The tables of the notification service. A released migration is never changed. Its numbers are literals, independent
/// of constants elsewhere.
enum NotificationSchema {
    /// Registers the tables of the service and the inbox.
    static func registerMigrations(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("notifications.v1") { db in try db.execute(sql: v1) }
        SQLiteInbox.registerMigration(in: &migrator)
    }

    /// The same tables in PostgreSQL.
    static let postgres: KeyValuePairs = ["notifications.v1": postgresV1]

    private static let v1 = """
        CREATE TABLE notifications (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            event_id TEXT NOT NULL UNIQUE,
            order_id TEXT NOT NULL UNIQUE,
            customer_id TEXT NOT NULL,
            outcome TEXT NOT NULL CHECK (outcome IN ('confirmed', 'cancelled')),
            text TEXT NOT NULL,
            sent_at INTEGER NOT NULL
        ) STRICT;
        """

    private static let postgresV1 = """
        CREATE TABLE notifications (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            event_id text NOT NULL UNIQUE,
            order_id text NOT NULL UNIQUE,
            customer_id text NOT NULL,
            outcome text NOT NULL CHECK (outcome IN ('confirmed', 'cancelled')),
            text text NOT NULL,
            sent_at bigint NOT NULL
        );
        """
}
