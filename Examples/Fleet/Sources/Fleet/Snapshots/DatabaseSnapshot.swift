internal import EventBus
import NotificationService
import OrderService
internal import ServiceStorage

/// The databases of the three services, which are read during and after a run.
struct DatabaseSnapshot: Sendable {
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

    private let orders: SQLDatabase
    private let inventory: SQLDatabase
    private let notifications: SQLDatabase
    private let mailFile: String

    /// Opens the databases of a fleet that has started.
    init(_ fleet: Fleet) throws {
        orders = try fleet.database(of: .orders)
        inventory = try fleet.database(of: .inventory)
        notifications = try fleet.database(of: .notifications)
        mailFile = fleet.mailFile
    }

    /// Reads a database. Waits while PostgreSQL is down, which may be a disturbance of the fleet.
    private func read<Value: Sendable>(
        _ database: SQLDatabase,
        _ body: @escaping @Sendable (SQLTransaction) throws -> Value
    ) async throws -> Value {
        try await wait(atMost: .seconds(60), for: "an answer of the database") { () -> Value? in
            do {
                return try await database.read(body)
            } catch let error as EventBusError where error.code == .unavailable {
                return nil
            }
        }
    }

    /// Returns the progress of the orders.
    func counts() async throws -> Counts {
        var counts = Counts()
        let statuses = try await read(orders) { db in
            try db.rows("SELECT status, count(*) AS number FROM orders GROUP BY status")
                .map { (try $0.text("status"), try $0.integer("number")) }
        }
        for (status, number) in statuses {
            counts.placed += number
            if status == "confirmed" { counts.confirmed = number }
            if status == "cancelled" { counts.cancelled = number }
        }
        counts.notified = try await read(notifications) { db in try Self.number("notifications", in: db) }
        for database in [orders, inventory] {
            let (waiting, parked) = try await read(database) { db in
                let tables = ["eventbus_outbox", "eventbus_outbox_unrouted", "eventbus_outbox_delayed"]
                return (
                    try tables.reduce(0) { $0 + (try Self.number($1, in: db)) },
                    try Self.number("eventbus_outbox_parked", in: db)
                )
            }
            counts.waiting += waiting
            counts.parked += parked
        }
        return counts
    }

    /// Returns the number of rows of a table.
    private static func number(_ table: String, in db: SQLTransaction) throws -> Int {
        try db.rows("SELECT count(*) AS number FROM \(table)").first?.integer("number") ?? 0
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
    func orderBook() async throws -> OrderSnapshot {
        try await read(orders, OrderSnapshot.init)
    }

    /// Returns the records of the inventory service.
    func stockBook() async throws -> StockSnapshot {
        try await read(inventory, StockSnapshot.init)
    }

    /// Returns the records of the notification service.
    func notificationBook() async throws -> NotificationSnapshot {
        let mailbox = try Mailbox(file: mailFile)
        return try await read(notifications) { db in try NotificationSnapshot(db, mailbox: mailbox) }
    }
}
