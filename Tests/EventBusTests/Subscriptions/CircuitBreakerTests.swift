import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Circuit breaker of a subscription", .timeLimit(.minutes(1)))
struct CircuitBreakerTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private struct Failed: Error {}
    private struct Hopeless: Error, NonRetryable {}

    /// The times of a handler's calls, relative to the start.
    private final class Calls: Sendable {
        private let calls = Locked<[(time: Duration, failed: Bool)]>([])

        var all: [(time: Duration, failed: Bool)] { calls.withLock { $0 } }

        func note(_ time: Duration, failed: Bool) { calls.withLock { $0.append((time, failed)) } }
    }

    private func options(
        _ breaker: CircuitBreaker,
        way: DeferralTests.Way = .init(),
        inbox: (any Inbox)? = nil
    ) -> SubscriptionOptions {
        SubscriptionOptions(
            concurrency: 1,
            retry: .fixed(.seconds(1), maximumAttempts: 1000),
            ordering: way.ordering,
            broadcast: way.broadcast,
            inbox: inbox,
            breaker: breaker
        )
    }

    @Test(
        "It opens at the share of failures, probes one event at a time, and closes at a success",
        arguments: DeferralTests.Way.all
    )
    func opensAndCloses(way: DeferralTests.Way) async throws {
        let log = InMemoryLogHandler()
        let bus = EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { _ in log })
        let calls = Calls()
        let clock = clock
        // The service that the handler needs is down for 5 minutes.
        let breaker = CircuitBreaker(failureShare: 0.5, minimumAttempts: 10, probeInterval: .seconds(30))
        let options = options(breaker, way: way)
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { _, _ in
            let isDown = clock.now.offset < .seconds(300)
            calls.note(clock.now.offset, failed: isDown)
            if isDown { throw Failed() }
        }
        try await bus.withRunning {
            for number in 0..<50 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(bus.health().isReady)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
        #expect(calls.all.count { !$0.failed } == 50)
        // Ten until it opened, and a probe every 30 seconds.
        #expect(calls.all.count { $0.failed } == 19)
        let probes = Set(calls.all.filter(\.failed).map(\.time)).filter { $0 >= .seconds(30) }
        #expect(probes.count == 9)
        let messages = log.entries.filter { $0.metadata["event-id"] == nil }
        #expect(messages.count { "\($0.message)".contains("circuit breaker opens") && $0.level == .warning } == 1)
        #expect(messages.count { "\($0.message)".contains("its handler works again") && $0.level == .notice } == 1)
    }

    @Test("Health names the share of failures and the last error while it is open")
    func health() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: options(CircuitBreaker(minimumAttempts: 4))
        ) { _, _ in throw Failed() }
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("the pause") { subscription.health.status == .notReady }
            let reason = subscription.health.reason ?? ""
            #expect(reason.contains("its circuit breaker is open: 4 of 4 attempts failed"))
            #expect(reason.contains("Failed"))
            #expect(subscription.health.details["paused"] == 1)
            #expect(bus.health().isLive)
            #expect(!subscription.isPaused)
        }
    }

    @Test("Events whose own content is to blame, successes, and failures of an earlier window do not open it")
    func doesNotOpen() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let log = Locked<[String]>([])
        let calls = Locked(0)
        let breaker = CircuitBreaker(failureShare: 0.5, minimumAttempts: 4, window: .seconds(10))
        var options = options(breaker)
        options.retry = .never
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            calls.withLock { $0 += 1 }
            switch order.orderID {
            case "hopeless": throw Hopeless()
            case "failed": throw Failed()
            default: break
            }
        }
        try await bus.withRunning {
            func publish(_ ids: String...) async throws {
                for id in ids { try await bus.publish(OrderCreated(orderID: id)) }
                try await broker.settled()
                log.withLock { $0.append(subscription.health.status.rawValue) }
            }
            for _ in 0..<3 { try await publish("hopeless", "hopeless", "hopeless", "hopeless") }
            try await publish("failed", "failed", "failed")
            clock.advance(by: .seconds(20))
            try await publish("failed", "failed", "failed", "ok", "ok", "ok", "ok")
            #expect(log.withLock { Set($0) } == ["ready"])
            #expect(calls.withLock { $0 } == 22)
            try await bus.publish(OrderCreated(orderID: "failed"))
            try await eventually("the pause") { subscription.health.status == .notReady }
        }
    }

    @Test("An inbox that fails during a pause leaves it open until a handler succeeds")
    func inbox() async throws {
        let inbox = ScriptedInbox(clock: clock) { [clock] call, _ in
            let outage = Duration.seconds(50)..<Duration.seconds(100)
            guard call == .begin, outage.contains(clock.now.offset) else { return }
            throw EventBusError(.unavailable, "the store is away")
        }
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Calls()
        let clock = clock
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: options(CircuitBreaker(minimumAttempts: 5, probeInterval: .seconds(30)), inbox: inbox)
        ) { _, _ in
            let isDown = clock.now.offset < .seconds(200)
            calls.note(clock.now.offset, failed: isDown)
            if isDown { throw Failed() }
        }
        try await bus.withRunning {
            for number in 0..<20 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(calls.all.count { !$0.failed } == 20)
            #expect(calls.all.count { $0.failed } < 20)
            #expect(bus.health().isReady)
        }
    }

    @Test(
        "Invalid values are refused",
        arguments: [
            CircuitBreaker(failureShare: 0), CircuitBreaker(failureShare: 1.5), CircuitBreaker(failureShare: .nan),
            CircuitBreaker(minimumAttempts: 0), CircuitBreaker(window: .zero), CircuitBreaker(probeInterval: .zero),
            CircuitBreaker(probeInterval: .seconds(3600)),
        ]
    )
    func invalid(breaker: CircuitBreaker) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options(breaker)) { _, _ in }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("breaker") == true)
    }
}
