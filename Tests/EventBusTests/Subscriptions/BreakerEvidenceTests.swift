import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("What a circuit breaker counts", .timeLimit(.minutes(1)))
struct BreakerEvidenceTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private struct Failed: Error {}
    private struct Hopeless: Error, NonRetryable {}

    private func options(_ breaker: CircuitBreaker, inbox: (any Inbox)? = nil) -> SubscriptionOptions {
        SubscriptionOptions(
            concurrency: 1,
            retry: .fixed(.seconds(1), maximumAttempts: 1000),
            inbox: inbox,
            breaker: breaker
        )
    }

    @Test("A duplicate that the inbox suppresses does not close the breaker")
    func duplicate() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Collected<Duration>()
        let clock = clock
        let breaker = CircuitBreaker(minimumAttempts: 4, probeInterval: .seconds(30))
        var options = options(breaker, inbox: broker.makeInbox())
        options.retry = .fixed(.seconds(1000), maximumAttempts: 1000)
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { order, _ in
            let isDown = order.orderID != "x" && clock.now.offset < .seconds(300)
            calls.add(clock.now.offset)
            if isDown { throw Failed() }
        }
        try await bus.withRunning {
            for id in ["x", "1", "2", "3", "4", "x", "5", "6", "7", "8", "9"] {
                try await bus.publish(OrderCreated(orderID: id), options: .init(id: EventID(id)))
            }
            try await broker.settled()
        }
        let later = calls.all.filter { $0 >= .seconds(30) && $0 < .seconds(300) }
        #expect(Set(later).count == later.count, "one event at a time probes: \(later)")
    }

    @Test("A duplicate that the inbox suppresses does not end the report of an outage")
    func outage() async throws {
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [recorder]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let options = SubscriptionOptions(concurrency: 1, inbox: broker.makeInbox())
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            if order.orderID == "1" { throw EventBusError(.unavailable, "the index cannot be reached") }
        }
        @Sendable func acknowledged() -> Int {
            recorder.settled.count { if case .acknowledged = $0.disposition { true } else { false } }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "x"), options: .init(id: "x"))
            try await eventually("it is handled") { acknowledged() == 1 }
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the outage is reported") { subscription.health.status == .notReady }
            try await bus.publish(OrderCreated(orderID: "x"), options: .init(id: "x"))
            try await eventually("the duplicate is suppressed") { acknowledged() == 2 }
            #expect(subscription.health.status == .notReady)
        }
    }

    @Test("A publish that no broker would accept tells nothing about the handler")
    func unpublishable() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        var options = options(CircuitBreaker(minimumAttempts: 2, probeInterval: .seconds(300)))
        options.retry = .fixed(.seconds(1), maximumAttempts: 3)
        let pauses = Locked(0)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            try await bus.publish(Envelope(id: "", topic: "order.confirmed", payload: []))
        }
        try await bus.withRunning {
            for id in ["1", "2", "3", "4"] {
                try await bus.publish(OrderCreated(orderID: id))
                try await broker.settled(within: .seconds(10_000))
                if subscription.health.status != .ready { pauses.withLock { $0 += 1 } }
            }
            let letters = try await bus.deadLetters(of: "g").count()
            #expect(letters == 4)
        }
        #expect(pauses.withLock { $0 } == 0)
        #expect(clock.now.offset < .seconds(300))
    }

    @Test("Failures of a responder count, although the requester gets them as replies")
    func responder() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let isDown = Locked(true)
        let calls = Locked(0)
        let breaker = CircuitBreaker(minimumAttempts: 4, probeInterval: .seconds(30))
        let subscription = bus.respond(to: GetQuote.self, group: "g", options: options(breaker)) { request, _ in
            calls.withLock { $0 += 1 }
            if request.sku == "unknown" { throw Hopeless() }
            if isDown.withLock({ $0 }) { throw Failed() }
            return GetQuote.Reply(price: 1)
        }
        try await bus.withRunning {
            func ask(_ sku: String) async {
                await #expect(throws: EventBusError.self) {
                    _ = try await bus.request(GetQuote(sku: sku), timeout: .seconds(600))
                }
            }
            for _ in 0..<8 { await ask("unknown") }
            #expect(subscription.health.status == .ready)
            // The eight requests before were not to blame.
            for _ in 0..<4 { await ask("1") }
            try await eventually("the pause") { subscription.health.status == .notReady }
            #expect(calls.withLock { $0 } == 12)
            isDown.withLock { $0 = false }
            let answer = Task { try await bus.request(GetQuote(sku: "1"), timeout: .seconds(600)) }
            try await eventually("the request waits") { subscription.health.details["waiting"] == 1 }
            try await broker.settled()
            let quote = try await answer.value
            #expect(quote == GetQuote.Reply(price: 1))
            #expect(subscription.health.status == .ready)
        }
    }

    @Test("An expired request does not close the breaker of a responder")
    func expiredRequest() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        let breaker = CircuitBreaker(minimumAttempts: 4, probeInterval: .seconds(300))
        let subscription = bus.respond(to: GetQuote.self, group: "g", options: options(breaker)) { _, _ in
            calls.withLock { $0 += 1 }
            throw Failed()
        }
        try await bus.withRunning {
            for _ in 0..<4 { _ = try? await bus.request(GetQuote(sku: "1"), timeout: .seconds(5)) }
            try await eventually("the pause") { subscription.health.status == .notReady }
            // It expires before it can probe.
            let expired = Task { try await bus.request(GetQuote(sku: "2"), timeout: .seconds(5)) }
            try await eventually("the request waits") { subscription.health.details["waiting"] == 1 }
            try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(300)))
            clock.advance(by: .seconds(300))
            _ = try? await expired.value
            try await eventually("the request is dropped") {
                subscription.health.details["waiting"] == 0 && subscription.health.details["running"] == 0
            }
            #expect(subscription.health.status == .notReady)
            #expect(calls.withLock { $0 } == 4)
        }
    }
}
