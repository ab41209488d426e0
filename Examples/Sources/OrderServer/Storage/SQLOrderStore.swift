import EventBus
import Logging
import Metrics
import OrderService
import ServiceStorage
import ShopEvents

/// Orders in a database.
///
/// An order, its history and its event are stored in one transaction, together with the record of the delivery that
/// caused them. The relay of an outbox publishes the event.
struct SQLOrderStore: OrderStore {
    private let database: SQLDatabase
    /// The common commits of concurrent writes to SQLite. PostgreSQL combines the commits of its connections itself.
    private let groupCommit: GroupCommit?
    private let outbox: SQLOutbox
    private let inbox: SQLInbox
    private let keyRetention: Duration
    private let now: @Sendable () -> EventTime
    private let duplicatesSuppressed = Counter(label: "shop.duplicates_suppressed")

    /// Creates a store in `database`.
    ///
    /// - Parameters:
    ///   - database: A database with the tables of ``OrderSchema``.
    ///   - bus: The bus that provides the source of the events.
    ///   - groupLimit: The maximum number of writes to SQLite that are committed together.
    ///   - keyRetention: The time for which an idempotency key is remembered.
    ///   - now: A closure that returns the time of day.
    init(
        _ database: SQLDatabase,
        bus: EventBus,
        groupLimit: Int = 128,
        keyRetention: Duration = .seconds(24 * 60 * 60),
        now: @escaping @Sendable () -> EventTime = { .now() }
    ) {
        self.database = database
        self.groupCommit =
            if case .sqlite(let writer) = database { GroupCommit(writer, limit: groupLimit) } else { nil }
        self.outbox = SQLOutbox(database, bus: bus)
        self.inbox = SQLInbox(database)
        self.keyRetention = keyRetention
        self.now = now
    }

    private func write<Value: Sendable>(
        _ body: @escaping @Sendable (SQLTransaction) throws -> Value
    ) async throws -> Value {
        guard let groupCommit else { return try await database.write(body) }
        return try await reportingOutages { try await groupCommit.write { db in try body(SQLTransaction(db)) } }
    }

    // MARK: Placing

    /// Places an order under a new number, or returns the one that was placed with this key before.
    ///
    /// - Parameters:
    ///   - draft: The content of the order.
    ///   - correlationID: The correlation id of the order's events.
    ///   - key: The client's name for the request, or `nil`.
    /// - Throws: ``IdempotencyConflict`` if another draft was placed with the key; errors of the database.
    func place(
        _ draft: OrderDraft,
        correlationID: CorrelationID,
        key: IdempotencyKey? = nil
    ) async throws -> Placement {
        try await write { [self] db in
            let time = now()
            if let key, let earlier = try placement(with: key, at: time, in: db) {
                guard OrderDraft(of: earlier.order) == draft else {
                    throw IdempotencyConflict(orderID: earlier.order.id)
                }
                return Placement(record: earlier.asPlaced, isReplay: true)
            }
            // Numbered here and not earlier, so that orders appear in the order of their numbers.
            let order = draft.placed(at: time)
            try insert(order, correlationID: correlationID, at: time, in: db)
            if let key { try IdempotencyKeyTable.insert(key, of: order.id, at: time, in: db) }
            let step = OrderRecord.Step(status: .placed, at: time)
            return Placement(
                record: OrderRecord(order: order, status: .placed, history: [step], correlationID: correlationID),
                isReplay: false
            )
        }
    }

    private func placement(with key: IdempotencyKey, at time: EventTime, in db: SQLTransaction) throws -> OrderRecord? {
        try IdempotencyKeyTable.lock(key, in: db)
        let start = EventTime(milliseconds: time.milliseconds - keyRetention.milliseconds)
        try IdempotencyKeyTable.forget(key, storedBefore: start, in: db)
        return try IdempotencyKeyTable.order(placedWith: key, since: start, in: db).flatMap { id in
            try OrderTable.record(of: id, in: db)
        }
    }

    private func insert(_ order: Order, correlationID: CorrelationID, at time: EventTime, in db: SQLTransaction) throws
    {
        try OrderTable.insert(order, correlationID: correlationID, at: time, in: db)
        try outbox.publish(
            order.created,
            options: PublishOptions(requiresSubscriber: true, id: order.eventID, correlationID: correlationID),
            in: db
        )
    }

    /// Stores an order as placed, unless there is one with its id.
    func insert(_ order: Order) async throws -> Order {
        try await write { [self] db in
            if let existing = try OrderTable.record(of: order.id, in: db) { return existing.order }
            try insert(order, correlationID: CorrelationID(order.eventID), at: now(), in: db)
            return order
        }
    }

    // MARK: Ending

    private enum Ending: Sendable {
        /// The order has just ended.
        case changed(OrderStatus)
        /// Nothing was changed: the order already has this status or one that contradicts it, or `nil` without such an
        /// order.
        case stands(OrderStatus?)
        /// The delivery was handled before.
        case duplicate(OrderStatus?)
    }

    /// The error for a delivery that has no effect and must not be recorded as handled.
    private struct Refusal: Error {
        var stands: OrderStatus?
    }

    /// Ends a placed order.
    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus? {
        let ending = try await write { [self] db -> Ending in
            guard let context else { return try end(id, as: status, in: db) }
            do {
                let ending = try inbox.performOnce(context.inboxKey, in: db) { db in
                    let ending = try end(id, as: status, in: db)
                    if case .stands(let stands) = ending, stands != status { throw Refusal(stands: stands) }
                    return ending
                }
                return try ending ?? .duplicate(OrderTable.status(of: id, in: db))
            } catch let refusal as Refusal {
                return .stands(refusal.stands)
            }
        }
        switch ending {
        case .changed(let status):
            context?.logger.info("handled", metadata: ["order": "\(id)", "status": "\(status.kind)"])
            return status
        case .stands(let status):
            return status
        case .duplicate(let status):
            duplicatesSuppressed.increment()
            context?.logger.info("duplicate suppressed", metadata: ["order": "\(id)"])
            return status
        }
    }

    private func end(_ id: String, as status: OrderStatus, in db: SQLTransaction) throws -> Ending {
        guard let record = try OrderTable.record(of: id, locking: true, in: db) else { return .stands(nil) }
        guard let event = status.event(for: record.order), try OrderTable.end(id, as: status, at: now(), in: db) else {
            return .stands(record.status)
        }
        try outbox.publish(
            event,
            options: PublishOptions(requiresSubscriber: true, correlationID: record.correlationID),
            in: db
        )
        return .changed(status)
    }

    // MARK: Reading

    /// Returns the order with this id and its status.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)? {
        try await record(of: id).map { ($0.order, $0.status) }
    }

    /// Returns all data of an order, or `nil` if there is none with this id.
    func record(of id: String) async throws -> OrderRecord? {
        try await database.read { db in try OrderTable.record(of: id, in: db) }
    }

    /// Returns every order.
    func all() async throws -> [(order: Order, status: OrderStatus)] {
        try await database.read { db in try OrderTable.all(in: db) }
    }

    /// Returns a page of orders in the order of placement.
    ///
    /// - Parameters:
    ///   - status: The status of the orders, or `nil` for all.
    ///   - previous: The last known order, or `nil` to start with the first.
    ///   - limit: The maximum number of orders.
    func page(withStatus status: OrderStatus.Kind?, after previous: String?, limit: Int) async throws -> OrderPage {
        try await database.read { db in
            let found = try OrderTable.summaries(withStatus: status, after: previous, limit: limit + 1, in: db)
            let orders = Array(found.prefix(limit))
            return OrderPage(orders: orders, next: found.count > limit ? orders.last?.id : nil)
        }
    }
}

extension Duration {
    /// The duration in whole milliseconds.
    fileprivate var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
