import EventBus
import EventBusOutbox
import GRDB
import Logging
import Metrics
import NotificationService

/// Sends notifications by mail and keeps in an SQLite database which were sent.
///
/// To send and to record are two steps. A process that is killed between them sends the same message again, with the same
/// id: a mail file knows it and does not write it twice, a mail server gets it twice.
struct SQLiteNotificationLog: NotificationLog {
    private let database: any DatabaseWriter
    private let inbox: SQLiteInbox
    private let mailer: any Mailer
    private let letterhead: Letterhead
    private let duplicatesSuppressed: Counter

    /// A log in `database` whose notifications `mailer` brings to people.
    init(database: any DatabaseWriter, mailer: any Mailer, letterhead: Letterhead) {
        self.database = database
        self.inbox = SQLiteInbox(database: database)
        self.mailer = mailer
        self.letterhead = letterhead
        self.duplicatesSuppressed = Counter(label: "shop.duplicates_suppressed")
    }

    /// Sends a notification, unless there was one about its order before.
    @discardableResult
    func send(_ notification: Notice, handling context: EventContext?) async throws -> Bool {
        let wasSent = try await database.read { db in try NotificationTable.contains(notification.orderID, in: db) }
        if wasSent { return note(isFirst: false, notification, handling: context) }
        // Without a delivery it is the event that would have come with one.
        let eventID = context?.id ?? EventID("order.\(notification.outcome.rawValue):\(notification.orderID)")
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

    /// Everything that was sent, in order.
    func all() async throws -> [Notice] {
        try await database.read { db in try NotificationTable.all(in: db) }.map(\.notice)
    }

    /// The notification about an order; the latest ones about any order, newest first, if `orderID` is `nil`.
    func latest(about orderID: String?, limit: Int) async throws -> [NotificationRecord] {
        try await database.read { db in try NotificationTable.latest(about: orderID, limit: limit, in: db) }
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
