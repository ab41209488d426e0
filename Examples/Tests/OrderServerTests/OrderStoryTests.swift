import EventBus
import EventBusInMemory
import EventBusOutbox
import GRDB
import Logging
import OrderService
import ServiceLifecycle
import ServiceStorage
import ServiceTestKit
import ShopEvents
import Testing

@testable import OrderServer

@Suite("The order service on a bus", .timeLimit(.minutes(2)))
struct OrderStoryTests {
    /// Runs the service's bus with its subscription and the subscriptions that other events require, until `body` has
    /// ended.
    private func run(
        _ scene: Scene,
        store: some OrderStore,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        var options = SubscriptionOptions.outlastingOutages
        options.retry.initial = .milliseconds(1)
        options.retry.maximum = .milliseconds(10)
        let service = OrderService(bus: scene.bus, store: store)
        let subscription = service.subscribe(options: options)
        try await scene.bus.withRunning {
            try await subscription.attached()
            try await body()
        }
    }

    private func reserved(_ id: String) -> StockReserved { StockReserved(orderID: id, quantities: ["NW-011": 2]) }

    @Test("An order is announced by the relay, confirmed when the stock is reserved, and announced as confirmed")
    func story() async throws {
        let scene = try Scene()
        let seen = Events()
        scene.bus.subscribe(to: OrderCreated.self, group: "inventory") { [bus = scene.bus] event, context in
            await seen.append(context.envelope)
            try await bus.publish(StockReserved(orderID: event.orderID, quantities: event.items.quantities))
        }
        scene.bus.subscribe(group: "notifications", name: "outcomes") { handlers in
            handlers.on(StockReserved.self) { _, context in await seen.append(context.envelope) }
            handlers.on(OrderConfirmed.self) { _, context in await seen.append(context.envelope) }
        }
        let relay = OutboxRelay(database: scene.database, bus: scene.bus)
        try await run(scene, store: scene.orders) {
            try await withThrowingTaskGroup { group in
                group.addTask { try await relay.run() }
                let placed = try await scene.store.place(try .sample(), correlationID: "request-1").record.order
                try await eventually { await seen.all.count == 3 }
                let record = try #require(try await scene.store.record(of: placed.id))
                #expect(record.status == .confirmed)
                let events = Dictionary(uniqueKeysWithValues: await seen.all.map { ($0.topic, $0) })
                #expect(events.values.allSatisfy { $0.correlationID == "request-1" && $0.source == "orders" })
                #expect(events.values.allSatisfy { $0.partitionKey == placed.id })
                let created = try #require(events[OrderCreated.topic])
                let reserved = try #require(events[StockReserved.topic])
                #expect(created.id == placed.eventID)
                #expect(reserved.causationID == created.id)
                #expect(events[OrderConfirmed.topic]?.causationID == reserved.id)
                try await eventually { try await scene.database.outbox().isEmpty }
                group.cancelAll()
            }
        }
    }

    @Test("A redelivery changes nothing and announces nothing")
    func duplicates() async throws {
        let scene = try Scene()
        let id = try await scene.store.place(try .sample(), correlationID: "c").record.order.id
        try await run(scene, store: scene.orders) {
            for _ in 0..<20 { try await scene.bus.publish(reserved(id), options: PublishOptions(id: "answer")) }
            try await scene.broker.settled()
        }
        #expect(try await scene.store.record(of: id)?.history.map(\.status) == [.placed, .confirmed])
        #expect(try await scene.database.outbox().map(\.topic) == ["order.created", "order.confirmed"])
        #expect(try await scene.database.count(of: "eventbus_inbox") == 1)
    }

    @Test("The event of an outcome has the same id if a process that knows nothing of it repeats the work")
    func derivedID() async throws {
        let order = try OrderDraft.sample().placed(at: .now())
        var ids: [String] = []
        for _ in 1...2 {
            let scene = try Scene()
            _ = try await scene.store.insert(order)
            try await run(scene, store: scene.orders) {
                try await scene.bus.publish(reserved(order.id), options: PublishOptions(id: "answer"))
                try await scene.broker.settled()
            }
            let events = try await scene.database.outbox()
            #expect(events.map(\.topic) == ["order.created", "order.confirmed"])
            #expect(events.map(\.correlationID) == [order.id, order.id])
            ids += events.suffix(1).map(\.id)
        }
        #expect(ids.count == 2 && Set(ids).count == 1)
    }

    @Test("A failed attempt leaves neither status nor event nor record, and the next one completes")
    func failedAttempt() async throws {
        let scene = try Scene()
        let id = try await scene.store.place(try .sample(), correlationID: "c").record.order.id
        try await scene.database.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON eventbus_outbox BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        let store = RepairingStore(base: scene.orders) {
            #expect(try await scene.store.order(id)?.status == .placed)
            #expect(try await scene.database.count(of: "order_history") == 1)
            #expect(try await scene.database.count(of: "eventbus_inbox") == 0)
            try await scene.database.execute("DROP TRIGGER refuse")
        }
        try await run(scene, store: store) {
            try await scene.bus.publish(reserved(id))
            try await scene.broker.settled()
        }
        #expect(try await scene.store.order(id)?.status == .confirmed)
        #expect(try await scene.database.outbox().map(\.topic) == ["order.created", "order.confirmed"])
    }

    @Test("A contradiction is a dead letter, the first answer is kept, and neither is recorded as handled")
    func contradiction() async throws {
        let scene = try Scene()
        let id = try await scene.store.place(try .sample(), correlationID: "c").record.order.id
        try await run(scene, store: scene.orders) {
            try await scene.bus.publish(reserved(id))
            try await scene.broker.settled()
            try await scene.bus.publish(StockRejected(orderID: id, reason: .outOfStock, skus: ["NW-011"]))
            try await scene.bus.publish(reserved("nobody"))
            try await scene.broker.settled()
        }
        #expect(try await scene.store.order(id)?.status == .confirmed)
        let letters = try await scene.bus.deadLetters(of: OrderService.group).entries(limit: 10)
        #expect(Set(letters.map(\.envelope.topic)) == [StockRejected.topic, StockReserved.topic])
        #expect(Set(letters.map(\.envelope.partitionKey)) == [id, "nobody"])
        #expect(letters.allSatisfy { $0.failure.reason == .nonRetryable })
        #expect(try await scene.database.count(of: "eventbus_inbox") == 1)
        #expect(try await scene.database.outbox().map(\.topic) == ["order.created", "order.confirmed"])
    }

    @Test("An unreachable cache prevents neither ending nor reading an order")
    func unreachableCache() async throws {
        let scene = try Scene()
        let orders = CachedOrderStore(scene.store, cache: UnreachableCache(), ttl: .seconds(5), logger: .quiet)
        let id = try await scene.store.place(try .sample(), correlationID: "c").record.order.id
        try await run(scene, store: orders) {
            #expect(try await orders.view(of: id)?.status == .placed)
            try await scene.bus.publish(reserved(id))
            try await scene.broker.settled()
            #expect(try await orders.view(of: id)?.status == .confirmed)
        }
        let letters = try await scene.bus.deadLetters(of: OrderService.group).entries(limit: 10)
        #expect(letters.isEmpty)
    }
}

/// The received events in order.
private actor Events {
    private(set) var all: [Envelope] = []

    func append(_ envelope: Envelope) { all.append(envelope) }
}

/// A store that runs a closure when ending an order fails.
private struct RepairingStore: OrderStore {
    let base: CachedOrderStore
    let repair: @Sendable () async throws -> Void

    func insert(_ order: Order) async throws -> Order { try await base.insert(order) }

    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)? { try await base.order(id) }

    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus? {
        do {
            return try await base.end(id, as: status, handling: context)
        } catch let error as DatabaseError {
            try await repair()
            throw error
        }
    }

    func all() async throws -> [(order: Order, status: OrderStatus)] { try await base.all() }
}

/// A cache whose store does not answer: it computes values and cannot remove them.
private struct UnreachableCache: Cache {
    private let error = EventBusError(.unavailable, "the cache cannot be reached")

    func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try await compute(keys)
    }

    func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {
        throw error
    }

    func remove(_ keys: [String]) async throws { throw error }

    func removeAll(tag: String) async throws { throw error }
}
