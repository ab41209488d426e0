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
}
