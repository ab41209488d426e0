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
                .text(StoredEventID.text(of: record.eventID)), .text(notice.orderID), .text(notice.customerID),
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
            eventID: StoredEventID.id(of: row.text("event_id")),
            sentAt: EventTime(milliseconds: Int64(row.integer("sent_at")))
        )
    }
}

/// The event ids of the notification log as text. A publisher may choose an id with U+0000, which no column of text holds:
/// PostgreSQL refuses it, and SQLite's driver stores its beginning only. Such an id is stored in hexadecimal.
enum StoredEventID {
    private static let prefix = "hex:"

    /// Returns the text that is stored.
    static func text(of id: EventID) -> String {
        let text = id.rawValue
        guard text.utf8.contains(0) || text.hasPrefix(prefix) else { return text }
        return prefix + text.utf8.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// Returns the id of a stored text.
    static func id(of stored: String) -> EventID {
        guard stored.hasPrefix(prefix) else { return EventID(stored) }
        let digits = stored.utf8.dropFirst(prefix.utf8.count).map { UInt8(String(UnicodeScalar($0)), radix: 16) ?? 0 }
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        return EventID(String(decoding: bytes, as: UTF8.self))
    }
}

/// The error for a notification that the database can never hold, so that it must not be sent again and again.
struct UnstorableNotification: Error, NonRetryable, Hashable, CustomStringConvertible {
    var description: String { "the notification contains U+0000, which the database cannot store" }
}

/// The error for database content that this version of the service cannot read.
struct UnreadableNotification: Error, Hashable, CustomStringConvertible {
    var outcome: String

    var description: String { "a notification in the database has the unknown outcome \(outcome)" }
}
