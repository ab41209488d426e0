import EventBus
import NotificationService

/// A page of notifications, newest first.
struct NotificationPage: Codable, Hashable, Sendable {
    /// A notification as clients see it.
    struct Entry: Codable, Hashable, Sendable {
        var eventID: String
        var orderID: String
        var customerID: String
        var outcome: Notice.Outcome
        var text: String
        var sentAt: String

        /// Creates the public part of a record.
        init(_ record: NotificationRecord) {
            eventID = record.eventID.rawValue
            orderID = record.notice.orderID
            customerID = record.notice.customerID
            outcome = record.notice.outcome
            text = record.notice.text
            sentAt = record.sentAt.rfc3339
        }
    }

    /// The approximate maximum size of a page in bytes.
    static let maximumSize = 1_000_000

    /// The notifications.
    var notifications: [Entry]

    /// Creates a page of the first of these records, as many as it has room for and at least one.
    init(_ records: [NotificationRecord]) {
        notifications = []
        var size = 0
        for record in records {
            // The names of the members, the quotes and the time.
            let notice = record.notice
            size += 200 + record.eventID.rawValue.utf8.count + notice.orderID.utf8.count
            size += notice.customerID.utf8.count + notice.text.utf8.count
            if size > Self.maximumSize, !notifications.isEmpty { break }
            notifications.append(Entry(record))
        }
    }
}
