import Foundation
internal import GRDB
import NotificationService
import OrderService

/// The databases of the three services, which are read during and after a run.
struct Books: Sendable {
    /// The progress of the orders.
    struct Counts: Hashable, Sendable {
        var placed = 0
        var confirmed = 0
        var cancelled = 0
        var notified = 0
        /// The number of events that wait in the outboxes.
        var waiting = 0
        /// The number of events that the outboxes have parked.
        var parked = 0
    }

    private let orders: DatabaseQueue
    private let inventory: DatabaseQueue
    private let notifications: DatabaseQueue
    private let mailFile: String

    /// Opens the databases of a fleet that has started.
    init(_ fleet: Fleet) throws {
        func open(_ kind: ServiceKind) throws -> DatabaseQueue {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(10)
            configuration.label = kind.databaseFile
            return try DatabaseQueue(path: fleet.database(of: kind), configuration: configuration)
        }
        orders = try open(.orders)
        inventory = try open(.inventory)
        notifications = try open(.notifications)
        mailFile = fleet.mailFile
    }

    /// Returns the progress of the orders.
    func counts() async throws -> Counts {
        var counts = Counts()
        let statuses = try await orders.read { db in
            try Row.fetchAll(db, sql: "SELECT status, count(*) AS number FROM orders GROUP BY status")
                .map { ($0["status"] as String, $0["number"] as Int) }
        }
        for (status, number) in statuses {
            counts.placed += number
            if status == "confirmed" { counts.confirmed = number }
            if status == "cancelled" { counts.cancelled = number }
        }
        counts.notified =
            try await notifications.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM notifications") } ?? 0
        for database in [orders, inventory] {
            let (waiting, parked) = try await database.read { db in
                (
                    try Int.fetchOne(
                        db,
                        sql: """
                            SELECT (SELECT count(*) FROM eventbus_outbox)
                                + (SELECT count(*) FROM eventbus_outbox_unrouted)
                                + (SELECT count(*) FROM eventbus_outbox_delayed)
                            """
                    ) ?? 0,
                    try Int.fetchOne(db, sql: "SELECT count(*) FROM eventbus_outbox_parked") ?? 0
                )
            }
            counts.waiting += waiting
            counts.parked += parked
        }
        return counts
    }

    /// Returns a description of the orders without an outcome or a notification.
    func unfinished() async throws -> String {
        let orders = try await orderBook().orders
        let told = Set(try await notificationBook().notices.map(\.orderID))
        let open = orders.filter { $0.status == .placed }.map(\.order.id)
        let untold = orders.filter { $0.status != .placed && !told.contains($0.order.id) }.map(\.order.id)
        return "Without outcome: \(open.prefix(5)). With one, but without notification: \(untold.prefix(5))."
    }

    /// Returns the records of the order service.
    func orderBook() async throws -> OrderBook {
        try await orders.read(OrderBook.init)
    }

    /// Returns the records of the inventory service.
    func stockBook() async throws -> StockBook {
        try await inventory.read(StockBook.init)
    }

    /// Returns the records of the notification service.
    func notificationBook() async throws -> NotificationBook {
        let mailbox = try Mailbox(file: mailFile)
        return try await notifications.read { db in try NotificationBook(db, mailbox: mailbox) }
    }
}
