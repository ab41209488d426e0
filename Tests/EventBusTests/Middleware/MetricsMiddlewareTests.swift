import EventBus
import EventBusInMemory
import EventBusTesting
import Metrics
import MetricsTestKit
import Synchronization
import Testing

@Suite("Metrics", .timeLimit(.minutes(1)))
struct MetricsMiddlewareTests {
    @Test("Publishes, attempts, retries and dead letters are counted, under bounded labels")
    func counting() async throws {
        let metrics = TestMetrics()
        let middleware = MetricsMiddleware(factory: metrics)
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [middleware]
        configuration.consumeMiddleware = [middleware]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(
            to: "order.#",
            group: "g",
            options: .init(retry: .fixed(.seconds(1), maximumAttempts: 3))
        ) { event, context in
            if event.topic == "order.created" || context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await bus.publish(OrderConfirmed(orderID: "1"))
            try await bus.publish(Envelope(topic: "nobody", payload: []))
            _ = try? await bus.publish(OrderCreated(orderID: "2"), options: .init(headers: ["": 1]))
            try await broker.settled()
        }
        func total(_ label: String, _ labels: (String, String)...) throws -> Int64 {
            try metrics.expectCounter(label, labels).totalValue
        }
        let consumer = [("topic", "order.#"), ("group", "g")]
        #expect(try total("eventbus.published", ("topic", "order.created"), ("outcome", "routed")) == 1)
        #expect(try total("eventbus.published", ("topic", "order.created"), ("outcome", "invalidEnvelope")) == 1)
        #expect(try total("eventbus.published", ("topic", "nobody"), ("outcome", "unroutable")) == 1)
        #expect(try total("eventbus.delivered", consumer[0], consumer[1]) == 5)
        #expect(try total("eventbus.handled", consumer[0], consumer[1], ("outcome", "success")) == 1)
        #expect(try total("eventbus.handled", consumer[0], consumer[1], ("outcome", "failure")) == 4)
        #expect(try total("eventbus.retried", consumer[0], consumer[1]) == 3)
        #expect(
            try total("eventbus.dead_lettered", consumer[0], consumer[1], ("outcome", "attempts_exhausted")) == 1
        )
        #expect(try metrics.expectTimer("eventbus.handler.duration", consumer).values.count == 5)
        #expect(try metrics.expectMeter("eventbus.in_flight", consumer).values.last == 0)
        #expect(try metrics.expectTimer("eventbus.publish.duration", [("topic", "order.created")]).values.count == 2)
    }

    /// Middleware that passes every call on to a step that was not prepared for a subscription.
    private struct Wrapping: ConsumeMiddleware, DeliveryObserver {
        let step: MetricsMiddleware

        func consume(_ context: EventContext, next: ConsumeNext) async throws {
            try await step.consume(context, next: next)
        }

        func didSettle(_ delivery: SettledDelivery) { step.didSettle(delivery) }
    }

    @Test("A step inside other middleware counts as well as one that a bus has prepared")
    func wrapped() async throws {
        let metrics = TestMetrics()
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [Wrapping(step: MetricsMiddleware(factory: metrics))]
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: .never)) { order, _ in
            if order.orderID == "2" { throw Broken() }
        }
        try await bus.withRunning {
            for id in ["1", "2"] { try await bus.publish(OrderCreated(orderID: id)) }
            try await broker.settled()
        }
        let labels = [("topic", "order.created"), ("group", "g")]
        #expect(try metrics.expectCounter("eventbus.delivered", labels).totalValue == 2)
        for outcome in ["success", "failure"] {
            let counter = try metrics.expectCounter("eventbus.handled", labels + [("outcome", outcome)])
            #expect(counter.totalValue == 1)
        }
        #expect(try metrics.expectTimer("eventbus.handler.duration", labels).values.count == 2)
    }

    @Test("A failing local listener is counted, and the others receive the event")
    func localFailures() throws {
        let metrics = TestMetrics()
        let bus = withMetricsFactory(metrics) { EventBus(transport: .inMemory()) }
        let heard = Atomic(0)
        bus.local.on(OrderCreated.self) { _ in throw Broken() }
        bus.local.on(OrderCreated.self) { _ in heard.add(1, ordering: .relaxed) }
        bus.local.emit(OrderCreated(orderID: "1"))
        bus.local.emit(OrderCreated(orderID: "2"))
        #expect(try metrics.expectCounter("eventbus.local.failed").totalValue == 2)
        #expect(heard.load(ordering: .relaxed) == 2)
    }

    @Test("Published topics past the limit share one label")
    func boundedLabels() async throws {
        let metrics = TestMetrics()
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [MetricsMiddleware(factory: metrics)]
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        try await bus.withRunning {
            for number in 0..<(MetricsMiddleware.maximumTopics + 10) {
                try await bus.publish(Envelope(topic: try Topic(validating: "t.\(number)"), payload: []))
            }
        }
        #expect(
            try metrics.expectCounter("eventbus.published", [("topic", "other"), ("outcome", "unroutable")]).totalValue
                == 10
        )
    }
}
