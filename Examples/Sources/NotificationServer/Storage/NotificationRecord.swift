import EventBus
import NotificationService
import PostgresDriver
import ServiceStorage

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
    static func contains(_ orderID: String, in db: SQLTransaction) throws -> Bool {
        try !db.rows("SELECT 1 FROM notifications WHERE order_id = $1", [.text(orderID)]).isEmpty
    }

    /// Records a notification, unless there is one about its order or its event.
    ///
    /// - Returns: `true` if there was none.
    static func insert(_ record: NotificationRecord, in db: SQLTransaction) throws -> Bool {
        let notice = record.notice
        return try db.execute(
            """
            INSERT INTO notifications (event_id, order_id, customer_id, outcome, text, sent_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
            """,
            [
                .text(record.eventID.rawValue), .text(notice.orderID), .text(notice.customerID),
                .text(notice.outcome.rawValue), .text(notice.text), .integer(record.sentAt.milliseconds),
            ]
        ) == 1
    }

    /// Returns the notification about an order, or the latest ones, newest first, if `orderID` is `nil`.
    static func latest(about orderID: String?, limit: Int, in db: SQLTransaction) throws -> [NotificationRecord] {
        let condition = orderID == nil ? "" : "WHERE order_id = $1"
        return try db.rows(
            "SELECT * FROM notifications \(condition) ORDER BY number DESC LIMIT $\(orderID == nil ? 1 : 2)",
            (orderID.map { [.text($0)] } ?? []) + [SQLValue(limit)]
        ).map(record)
    }

    /// Returns every notification in the order of sending.
    static func all(in db: SQLTransaction) throws -> [NotificationRecord] {
        try db.rows("SELECT * FROM notifications ORDER BY number").map(record)
    }

    private static func record(_ row: SQLRow) throws -> NotificationRecord {
        let name = try row.text("outcome")
        guard let outcome = Notice.Outcome(rawValue: name) else { throw UnreadableNotification(outcome: name) }
        return try NotificationRecord(
            notice: Notice(
                orderID: row.text("order_id"),
                customerID: row.text("customer_id"),
                outcome: outcome,
                text: row.text("text")
            ),
            eventID: EventID(row.text("event_id")),
            sentAt: EventTime(milliseconds: Int64(row.integer("sent_at")))
        )
    }
}

/// The error for database content that this version of the service cannot read.
struct UnreadableNotification: Error, Hashable, CustomStringConvertible {
    var outcome: String

    var description: String { "a notification in the database has the unknown outcome \(outcome)" }
}
