internal import GRDB
import NotificationService

/// What customers were told, as the notification service has it: in its database and in its mail file.
struct NotificationBook: Sendable {
    /// What is recorded in the database.
    var notices: [Notice]
    /// The events that the records tell of.
    var eventIDs: [String]
    /// What is in the mail file.
    var mailbox: Mailbox

    init(_ db: Database, mailbox: Mailbox) throws {
        let rows = try Row.fetchAll(db, sql: "SELECT event_id, order_id, outcome FROM notifications")
        notices = try rows.map { row in
            guard let outcome = Notice.Outcome(rawValue: row["outcome"]) else {
                throw FleetProblem("a notification makes no sense: \(row)")
            }
            return Notice(orderID: row["order_id"], customerID: "", outcome: outcome, text: "")
        }
        eventIDs = rows.map { $0["event_id"] }
        self.mailbox = mailbox
    }
}
