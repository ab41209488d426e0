import EventBus
import EventBusInMemory
import EventBusTesting
import Metrics
import MetricsTestKit
import Testing

@Suite("Circuit breaker of a subscription that begins another session", .timeLimit(.minutes(1)))
struct BreakerSessionTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private struct Failed: Error {}

    private func options(_ breaker: CircuitBreaker) -> SubscriptionOptions {
        SubscriptionOptions(
            concurrency: 1,
            retry: .fixed(.seconds(1), maximumAttempts: 1000),
            breaker: breaker
        )
    }

    /// Returns the last value of the metric of pauses.
    private func paused(_ metrics: TestMetrics) throws -> Double? {
        try metrics.expectGauge("eventbus.paused", [("topic", "order.created"), ("group", "g")]).lastValue
    }

    /// The way in which a subscription begins another session.
    enum Change: CaseIterable { case concurrency, pause }

    @Test(
        "A breaker stays open when the concurrency changes and when the subscription is resumed",
        arguments: Change.allCases
    )
    func sessions(change: Change) async throws {
        let metrics = TestMetrics()
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [MetricsMiddleware(factory: metrics)]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let calls = Collected<Bool>()
        let clock = clock
        let breaker = CircuitBreaker(minimumAttempts: 10, probeInterval: .seconds(30))
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options(breaker)) {
            _,
            _ in
            let isDown = clock.now.offset < .seconds(300)
            calls.add(isDown)
            if isDown { throw Failed() }
        }
        try await bus.withRunning {
            for number in 0..<50 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("the pause") { subscription.health.status == .notReady }
            switch change {
            case .concurrency:
                try await subscription.changeConcurrency(to: 2)
            case .pause:
                await subscription.pause()
                subscription.resume()
            }
            try await subscription.attached()
            #expect(subscription.health.reason?.contains("its circuit breaker is open") == true)
            #expect(try paused(metrics) == 1)
            try await broker.settled()
            #expect(bus.health().isReady)
            #expect(try paused(metrics) == 0)
        }
        #expect(calls.all.count { !$0 } == 50)
        #expect(calls.all.count { $0 } == 19)
    }

    @Test("The metric of a subscription that stops during a pause is reset", arguments: [false, true])
    func stopped(byUser: Bool) async throws {
        let metrics = TestMetrics()
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [MetricsMiddleware(factory: metrics)]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: options(CircuitBreaker(minimumAttempts: 4))
        ) { _, _ in throw Failed() }
        try await bus.withRunning {
            if byUser {
                try await subscription.attached()
                await subscription.pause()
            } else {
                for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
                try await eventually("the pause") { subscription.health.status == .notReady }
            }
            #expect(try paused(metrics) == 1)
            await subscription.cancel()
            #expect(try paused(metrics) == 0)
        }
    }
}
