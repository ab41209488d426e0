internal import GRDB
import NotificationService

/// The records of the notification service in its database and its mail file.
struct NotificationBook: Sendable {
    /// The notices in the database.
    var notices: [Notice]
    /// The ids of the events that the records refer to.
    var eventIDs: [String]
    /// The content of the mail file.
    var mailbox: Mailbox

    init(_ db: Database, mailbox: Mailbox) throws {
        let rows = try Row.fetchAll(db, sql: "SELECT * FROM notifications")
        notices = try rows.map { row in
            guard let outcome = Notice.Outcome(rawValue: row["outcome"]) else {
                throw FleetProblem("a notification makes no sense: \(row)")
            }
            return Notice(
                orderID: row["order_id"],
                customerID: row["customer_id"],
                outcome: outcome,
                text: row["text"]
            )
        }
        eventIDs = rows.map { $0["event_id"] }
        self.mailbox = mailbox
    }
}
