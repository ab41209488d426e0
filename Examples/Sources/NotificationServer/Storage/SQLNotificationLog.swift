import EventBus
import Logging
import Metrics
import NotificationService
import ServiceStorage

/// A log that sends notifications by mail and records them in a database.
///
/// Sending and recording are two steps. A process that is killed in between sends the same message again, with the same
/// id. A mail file recognizes it and does not write it twice. A mail server receives it twice.
struct SQLNotificationLog: NotificationLog {
    private let database: SQLDatabase
    private let inbox: SQLInbox
    private let mailer: any Mailer
    private let letterhead: Letterhead
    private let duplicatesSuppressed: Counter

    /// Creates a log in `database` whose notifications are sent by `mailer`.
    init(database: SQLDatabase, mailer: any Mailer, letterhead: Letterhead) {
        self.database = database
        self.inbox = SQLInbox(database)
        self.mailer = mailer
        self.letterhead = letterhead
        self.duplicatesSuppressed = Counter(label: "shop.duplicates_suppressed")
    }

    /// Sends a notification, unless there was one about its order before.
    @discardableResult
    func send(_ notification: Notice, handling context: EventContext?) async throws -> Bool {
        let wasSent = try await database.read { db in try NotificationTable.contains(notification.orderID, in: db) }
        if wasSent { return note(isFirst: false, notification, handling: context) }
        // An order has one notification, so its id identifies one without a delivery.
        let eventID = context?.id ?? EventID(notification.orderID)
        // A message that is sent and cannot be recorded would be sent again for days.
        let texts = [notification.orderID, notification.customerID, notification.text]
        guard texts.allSatisfy({ !$0.utf8.contains(0) }) else { throw UnstorableNotification() }
        try await mailer.send(
            MailMessage(
                notification,
                eventID: eventID,
                time: context?.envelope.time ?? .now(),
                letterhead: letterhead
            )
        )
        let record = NotificationRecord(notice: notification, eventID: eventID, sentAt: .now())
        let isFirst = try await database.write { db in
            guard let context else { return try NotificationTable.insert(record, in: db) }
            return try inbox.performOnce(context.inboxKey, in: db) { db in
                try NotificationTable.insert(record, in: db)
            } ?? false
        }
        return note(isFirst: isFirst, notification, handling: context)
    }

    /// Returns all sent notifications in order.
    func all() async throws -> [Notice] {
        try await database.read { db in try NotificationTable.all(in: db) }.map(\.notice)
    }

    /// Returns the notification about an order, or the latest ones, newest first, if `orderID` is `nil`.
    func latest(about orderID: String?, limit: Int) async throws -> [NotificationRecord] {
        // PostgreSQL refuses such a text, which is no order's id.
        if orderID?.utf8.contains(0) == true { return [] }
        return try await database.read { db in try NotificationTable.latest(about: orderID, limit: limit, in: db) }
    }

    private func note(isFirst: Bool, _ notification: Notice, handling context: EventContext?) -> Bool {
        if let context {
            if !isFirst { duplicatesSuppressed.increment() }
            context.logger.info(
                isFirst ? "handled" : "duplicate suppressed",
                metadata: ["order-id": "\(notification.orderID)"]
            )
        }
        return isFirst
    }
}
