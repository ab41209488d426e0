import EventBusOutbox
import GRDB

/// The tables of the notification service. A migration that has been released is never changed: its figures stand for
/// themselves, whatever becomes of the constants elsewhere.
enum NotificationSchema {
    /// Adds the service's table and the inbox's.
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
