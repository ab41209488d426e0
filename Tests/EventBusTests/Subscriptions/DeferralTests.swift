import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Deferrals, which use up no attempt", .timeLimit(.minutes(1)))
struct DeferralTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    /// The second version of ``OrderCreated``.
    private struct NextOrderCreated: Event {
        static let topic = OrderCreated.topic
        static let version = 2
        var orderID: String
    }

    struct Way: Sendable, CustomTestStringConvertible {
        var ordering = SubscriptionOptions.Ordering.none
        var broadcast = false
        var testDescription: String { "\(ordering)\(broadcast ? ", broadcast" : "")" }

        static let all = [Way(), Way(ordering: .byPartitionKey), Way(broadcast: true)]
    }

    @Test("An event that met instances of an older version reaches a newer one as attempt 1")
    func rollingDeployment() async throws {
        let old = EventBus(transport: .inMemory(broker))
        let orders = old.subscribe(to: OrderCreated.self, group: "g", name: "orders") { _, _ in
            Issue.record("an old instance handled a newer version")
        }
        try await old.withRunning {
            try await old.publish(NextOrderCreated(orderID: "1"))
            // The old instance checks the event again and again, after random delays.
            try await eventually("six deferrals") {
                if orders.health.details["deferred", default: 0] >= 6 { return true }
                clock.advance(by: .seconds(1))
                return false
            }
            try await eventually("the event waits") { broker.queues.first?.delayed == 1 }
            #expect(orders.health.status == .ready)
            #expect(orders.health.reason?.contains("version 2") == true)
        }
        let new = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Int]>([])
        new.subscribe(to: NextOrderCreated.self, group: "g", name: "orders") { _, context in
            attempts.withLock { $0.append(context.attempt) }
            #expect(!context.isLastAttempt)
        }
        try await new.withRunning {
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1])
            #expect(try await new.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("A handler whose store is unreachable uses up no attempt, and health and log report it", arguments: Way.all)
    func outage(way: Way) async throws {
        let handler = InMemoryLogHandler()
        let bus = EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { _ in handler })
        let failures = Locked(30)
        let handled = Locked<[Int]>([])
        let reasons = Locked<Set<String>>([])
        let options = SubscriptionOptions(retry: .never, ordering: way.ordering, broadcast: way.broadcast)
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { [weak bus] _, context in
            if let health = bus?.health().components.first(where: { $0.name == "subscription.g.orders" }) {
                if health.status == .notReady { reasons.withLock { _ = $0.insert(health.reason ?? "") } }
            }
            let fails = failures.withLock { failures in
                failures -= 1
                return failures >= 0
            }
            if fails { throw EventBusError(.unavailable, "there is no Redis") }
            handled.withLock { $0.append(context.attempt) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(handled.withLock { $0 } == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            #expect(bus.health().isReady)
        }
        #expect(reasons.withLock { $0.allSatisfy { $0.contains("there is no Redis") } && $0.count == 1 })
        #expect(handler.entries.count { $0.level == .warning } == 1)
        #expect(handler.entries.count { $0.message == "handlers work again" } == 1)
    }

    @Test("An unreachable store dead-letters an event with its own reason", arguments: Way.all)
    func bounded(way: Way) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(
            ordering: way.ordering,
            broadcast: way.broadcast,
            maximumDeferral: .seconds(300)
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            throw EventBusError(.blocked, "the disk is full")
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.reason == .unavailable)
            #expect(letter.failure.message.contains("the disk is full"))
            #expect(clock.now.offset >= .seconds(300) && clock.now.offset < .seconds(400))
            #expect(!bus.health().isReady)
            // No event is left to show that the store is back.
            clock.advance(by: .seconds(121))
            #expect(bus.health().isReady)
        }
    }

    @Test(
        "By key, an outage longer than an event may be held ends after the maximum deferral, and not before",
        arguments: [4, 10, 60, 900],
        [0, 8]
    )
    func longerThanHold(hold: Int, handling: Int) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        let options = SubscriptionOptions(
            ordering: .byPartitionKey,
            maximumDeferral: .seconds(3600),
            maximumHold: .seconds(hold)
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { [clock] _, context in
            #expect(context.attempt == 1)
            calls.withLock { $0 += 1 }
            clock.advance(by: .seconds(handling))
            throw EventBusError(.unavailable, "there is no Redis")
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "g").entries(limit: 10)
            #expect(letters.map(\.failure.reason) == [.unavailable])
            let attempts = calls.withLock { $0 }
            #expect(clock.now.offset >= .seconds(3600))
            // Only delays count, as without an order, and not the time of the handler.
            if handling == 0 { #expect(clock.now.offset <= .seconds(3660)) }
            #expect(attempts < 3700)
        }
    }

    @Test("The deferrals of an event start again after a failed attempt")
    func beginsAgain() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        let attempts = Locked<Set<Int>>([])
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 5),
            maximumDeferral: .seconds(100)
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            attempts.withLock { _ = $0.insert(context.attempt) }
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            // Enough deferrals for most of the time, an attempt that fails, and the same again.
            if call % 8 == 0 { throw Broken() }
            if call < 24 { throw EventBusError(.unavailable, "there is no Redis") }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            #expect(attempts.withLock { $0 } == [1, 2, 3, 4])
        }
    }
}
