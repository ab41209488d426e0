import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import MetricsTestKit
import Testing

/// Handlers that exceed their time limit and ignore their cancellation.
@Suite("Overdue handlers", .timeLimit(.minutes(1)))
struct OverdueHandlerTests {
    @Test("Each is logged and counted once, and the subscription is not ready while all its workers are overdue")
    func overdue() async throws {
        let clock = ManualClock()
        let (log, metrics) = (InMemoryLogHandler(), TestMetrics())
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [MetricsMiddleware(factory: metrics)]
        let bus = EventBus(
            transport: .inMemory(InMemoryBroker(clock: clock)),
            configuration: configuration,
            logger: Logger(label: "test") { _ in log }
        )
        let (began, mayEnd) = (Counter(), Signal())
        let options = SubscriptionOptions(concurrency: 2, retry: .never, handlerTimeout: .seconds(10))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            began.add()
            // Waits in a separate task, which nothing cancels.
            try await Task { try await mayEnd.wait() }.value
        }
        @Sendable func timeouts() -> [InMemoryLogHandler.Entry] {
            log.entries.filter { "\($0.message)".contains("exceeded its timeout") }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the first began") { began.value == 1 }
            clock.advance(by: .seconds(10))
            try await eventually("the first is overdue") { timeouts().count == 1 }
            #expect(bus.health().isReady, "one of two workers is free: \(bus.health().reason)")
            try await bus.publish(OrderCreated(orderID: "2"))
            try await eventually("the second began") { began.value == 2 }
            clock.advance(by: .seconds(10))
            try await eventually("both are overdue") { timeouts().count == 2 }
            clock.advance(by: .seconds(100))
            let health = bus.health()
            #expect(!health.isReady && health.isLive)
            #expect(health.reason.contains("subscription.g.order-created: all 2 handlers have passed their time limit"))
            mayEnd.raise()
            try await eventually("ready again") { bus.health().isReady }
        }
        #expect(timeouts().count == 2)
        #expect(Set(timeouts().map { "\($0.metadata["event-id"] ?? "")" }).count == 2)
        #expect(timeouts().allSatisfy { $0.metadata["group"] == "g" && $0.metadata["subscription"] == "order-created" })
        let counter = try metrics.expectCounter(
            "eventbus.handler.timed_out",
            [("topic", "order.created"), ("group", "g")]
        )
        #expect(counter.totalValue == 2)
    }

    @Test("A handler without a time limit is cancelled before the broker delivers its event again")
    func withoutLimit() async throws {
        let clock = ManualClock()
        let log = InMemoryLogHandler()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { _ in log })
        let (starts, ends) = (Collected<Duration>(), Collected<Duration>())
        let options = SubscriptionOptions(
            concurrency: 1,
            prefetch: 2,
            retry: .fixed(.seconds(10), maximumAttempts: 2),
            handlerTimeout: nil
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            starts.add(clock.now.offset)
            defer { ends.add(clock.now.offset) }
            if order.orderID == "short" { return try await clock.sleep(until: clock.now.advanced(by: .seconds(600))) }
            try await Signal().wait()
        }
        try await bus.withRunning {
            try await subscription.attached()
            try await bus.publish(OrderCreated(orderID: "short"))
            try await eventually("the first began") { starts.all.count == 1 }
            try await bus.publish(OrderCreated(orderID: "endless"))
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "g").entries().first)
            #expect(letter.failure.attempt == 2)
            #expect(letter.failure.reason == .attemptsExhausted)
            #expect(letter.failure.message.contains("the broker's consumer timeout of 1800.0 seconds allows"))
        }
        // The second one had waited for ten minutes.
        #expect(ends.all == [.seconds(600), .seconds(1620), .seconds(1630 + 1620)])
        let report = log.entries.first { "\($0.message)".contains("without a time limit") }
        #expect(report?.metadata["limit"] != nil)
    }
}
