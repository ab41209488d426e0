import EventBus
import GRDB
import NotificationService

/// A notification that was sent.
struct NotificationRecord: Hashable, Sendable {
    /// The notice.
    var notice: Notice
    /// The event that it announces.
    var eventID: EventID
    /// The time at which it was sent.
    var sentAt: EventTime
}

/// The statements of the notification log. Each function runs in the caller's transaction.
enum NotificationTable {
    /// Returns a Boolean value indicating whether there is a notification about an order.
    static func contains(_ orderID: String, in db: Database) throws -> Bool {
        try Int.fetchOne(
            try db.cachedStatement(sql: "SELECT 1 FROM notifications WHERE order_id = ?"),
            arguments: [orderID]
        ) != nil
    }

    /// Records a notification, unless there is one about its order or its event.
    ///
    /// - Returns: `true` if there was none.
    static func insert(_ record: NotificationRecord, in db: Database) throws -> Bool {
        let notice = record.notice
        try db.cachedStatement(
            sql: """
                INSERT INTO notifications (event_id, order_id, customer_id, outcome, text, sent_at)
                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                """
        ).execute(
            arguments: [
                record.eventID.rawValue, notice.orderID, notice.customerID, notice.outcome.rawValue, notice.text,
                record.sentAt.milliseconds,
            ]
        )
        return db.changesCount == 1
    }

    /// Returns the notification about an order, or the latest ones, newest first, if `orderID` is `nil`.
    static func latest(about orderID: String?, limit: Int, in db: Database) throws -> [NotificationRecord] {
        let condition = orderID == nil ? "" : "WHERE order_id = ?"
        var arguments: StatementArguments = orderID.map { [$0] } ?? []
        arguments += [limit]
        return try Row.fetchAll(
            try db.cachedStatement(sql: "SELECT * FROM notifications \(condition) ORDER BY number DESC LIMIT ?"),
            arguments: arguments
        ).map(record)
    }

    /// Returns every notification in the order of sending.
    static func all(in db: Database) throws -> [NotificationRecord] {
        try Row.fetchAll(db, sql: "SELECT * FROM notifications ORDER BY number").map(record)
    }

    private static func record(_ row: Row) throws -> NotificationRecord {
        let name: String = row["outcome"]
        guard let outcome = Notice.Outcome(rawValue: name) else { throw UnreadableNotification(outcome: name) }
        return NotificationRecord(
            notice: Notice(
                orderID: row["order_id"],
                customerID: row["customer_id"],
                outcome: outcome,
                text: row["text"]
            ),
            eventID: EventID(row["event_id"] as String),
            sentAt: EventTime(milliseconds: row["sent_at"])
        )
    }
}

/// The error for database content that this version of the service cannot read.
struct UnreadableNotification: Error, Hashable, CustomStringConvertible {
    var outcome: String

    var description: String { "a notification in the database has the unknown outcome \(outcome)" }
}
