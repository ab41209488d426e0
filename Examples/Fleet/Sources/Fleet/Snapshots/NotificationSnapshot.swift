import NotificationService
internal import ServiceStorage

/// The records of the notification service in its database and its mail file.
struct NotificationSnapshot: Sendable {
    /// The notices in the database.
    var notices: [Notice]
    /// The ids of the events that the records refer to.
    var eventIDs: [String]
    /// The content of the mail file.
    var mailbox: Mailbox

    init(_ db: SQLTransaction, mailbox: Mailbox) throws {
        let rows = try db.rows("SELECT * FROM notifications")
        notices = try rows.map { row in
            guard let outcome = Notice.Outcome(rawValue: try row.text("outcome")) else {
                throw FleetProblem("a notification makes no sense: \(row)")
            }
            return try Notice(
                orderID: row.text("order_id"),
                customerID: row.text("customer_id"),
                outcome: outcome,
                text: row.text("text")
            )
        }
        eventIDs = try rows.map { try $0.text("event_id") }
        self.mailbox = mailbox
    }
}
