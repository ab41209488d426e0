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
}
