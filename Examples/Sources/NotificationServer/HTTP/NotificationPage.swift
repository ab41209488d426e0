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

    /// The notifications.
    var notifications: [Entry]
}
