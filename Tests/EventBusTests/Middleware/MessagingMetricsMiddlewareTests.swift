import EventBus
import EventBusInMemory
import EventBusTesting
import Metrics
import MetricsTestKit
import Testing

@Suite("Metrics of OpenTelemetry's conventions for messaging", .timeLimit(.minutes(1)))
struct MessagingMetricsMiddlewareTests {
    @Test("Publishes and attempts have the names and labels of the conventions")
    func conventions() async throws {
        let metrics = TestMetrics()
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker), configuration: .measured(by: metrics))
        let retry = RetryPolicy.fixed(.seconds(1), maximumAttempts: 3)
        bus.subscribe(to: "order.*", group: "g", name: "orders", options: .init(retry: retry)) { _, context in
            if context.attempt < 3 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(id: "", topic: OrderCreated.topic, payload: []))
            }
            try await broker.settled()
        }
        let system = ("messaging.system", "rabbitmq")
        let publish = [
            system, ("messaging.operation.name", "publish"), ("messaging.destination.name", "order.created"),
        ]
        let process = [
            system, ("messaging.operation.name", "process"), ("messaging.destination.template", "order.*"),
            ("messaging.destination.subscription.name", "orders"), ("messaging.consumer.group.name", "g"),
        ]
        let refused = publish + [("error.type", "invalidEnvelope")]
        let failed = process + [("error.type", String(reflecting: Broken.self))]
        for (labels, count) in [(publish, 1), (refused, 1)] {
            #expect(try metrics.expectCounter("messaging.client.sent.messages", labels).totalValue == count)
            let timed = labels + [("messaging.operation.type", "send")]
            #expect(try metrics.expectTimer("messaging.client.operation.duration", timed).values.count == count)
        }
        for (labels, count) in [(process, 1), (failed, 2)] {
            #expect(try metrics.expectCounter("messaging.client.consumed.messages", labels).totalValue == count)
            #expect(try metrics.expectTimer("messaging.process.duration", labels).values.count == count)
        }
    }

    @Test("Published topics past the limit share one label")
    func boundedLabels() async throws {
        let metrics = TestMetrics()
        let bus = EventBus(transport: .inMemory(), configuration: .measured(by: metrics))
        try await bus.withRunning {
            for number in 0..<(MetricsMiddleware.maximumTopics + 10) {
                try await bus.publish(Envelope(topic: try Topic(validating: "t.\(number)"), payload: []))
            }
        }
        let labels = [
            ("messaging.system", "rabbitmq"), ("messaging.operation.name", "publish"),
            ("messaging.destination.name", "other"),
        ]
        #expect(try metrics.expectCounter("messaging.client.sent.messages", labels).totalValue == 10)
    }

    @Test("Without a metrics system the step is left out")
    func inactive() {
        #expect(!MessagingMetricsMiddleware().isActive)
        #expect(MessagingMetricsMiddleware(factory: TestMetrics()).isActive)
    }
}

extension EventBusConfiguration {
    fileprivate static func measured(by metrics: TestMetrics) -> EventBusConfiguration {
        let middleware = MessagingMetricsMiddleware(factory: metrics, system: "rabbitmq")
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [middleware]
        configuration.consumeMiddleware = [middleware]
        return configuration
    }
}
