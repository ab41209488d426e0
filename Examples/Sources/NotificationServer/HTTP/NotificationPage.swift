import EventBus
import NotificationService

/// Some notifications, the newest first.
struct NotificationPage: Codable, Hashable, Sendable {
    /// A notification as clients see it.
    struct Entry: Codable, Hashable, Sendable {
        var eventID: String
        var orderID: String
        var customerID: String
        var outcome: Notice.Outcome
        var text: String
        var sentAt: String

        /// What is shown of a record.
        init(_ record: NotificationRecord) {
            eventID = record.eventID.rawValue
            orderID = record.notice.orderID
            customerID = record.notice.customerID
            outcome = record.notice.outcome
            text = record.notice.text
            sentAt = record.sentAt.rfc3339
        }
    }

    /// How many notifications a page can have.
    static let limits = 1...1_000
    /// How many it has unless asked for another number.
    static let defaultLimit = 100

    /// The notifications.
    var notifications: [Entry]
}
