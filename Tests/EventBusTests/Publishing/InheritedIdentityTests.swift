import EventBusInMemory
import EventBusTesting
import InMemoryTracing
import Testing

@testable import EventBus

@Suite("What a handler publishes inherits nothing that could not be published", .timeLimit(.minutes(1)))
struct InheritedIdentityTests {
    private static let nasty = "a\u{0}b\n\u{1B}"

    /// Events that any publisher may send, and that no handler's publish may fail because of.
    private static let forged: [Envelope] =
        [
            Envelope(id: EventID(nasty), topic: OrderCreated.topic, payload: payload),
            Envelope(id: "1", topic: OrderCreated.topic, payload: payload, correlationID: CorrelationID(nasty)),
            Envelope(id: "2", topic: OrderCreated.topic, payload: payload, causationID: EventID(nasty)),
        ]
        + ["traceparent", "tracestate", "baggage"].flatMap { name in
            [
                .string(String(repeating: "x", count: 100_000)), .bytes([UInt8](repeating: 1, count: 100_000)),
                .array([.string("x")]), .string("x\r\n"),
            ].enumerated().map { number, value in
                Envelope(
                    id: EventID("\(name)-\(number)"),
                    topic: OrderCreated.topic,
                    payload: payload,
                    headers: EventHeaders([name: value])
                )
            }
        }

    private static let payload = Array(#"{"orderID":"1"}"#.utf8)

    @Test("A handler that publishes handles forged events, and no breaker opens", arguments: [false, true])
    func handler(isTraced: Bool) async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        if isTraced {
            let tracing = TracingMiddleware(tracer: InMemoryTracer())
            configuration.publishMiddleware = [tracing]
            configuration.consumeMiddleware = [tracing]
        }
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 2),
            breaker: CircuitBreaker(minimumAttempts: 1, probeInterval: .seconds(30))
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: "a", options: options) { order, _ in
            let large = HeaderValue.bytes([UInt8](repeating: 0, count: 100_000))
            try await bus.publish(OrderConfirmed(orderID: order.orderID), options: .init(headers: ["large": large]))
        }
        let received = Collected<Envelope>()
        bus.subscribe(to: OrderConfirmed.self, group: "g", name: "confirmed") { _, context in
            received.add(context.envelope)
        }
        try await bus.withRunning {
            for envelope in Self.forged { try await bus.publish(envelope) }
            try await broker.settled(within: .seconds(600))
            #expect(subscription.health.status == .ready)
            let letters = try await bus.deadLetters(of: "g").count()
            #expect(letters == 0)
        }
        #expect(received.all.count == Self.forged.count)
        for envelope in received.all {
            let ids = [envelope.correlationID?.rawValue, envelope.causationID?.rawValue].compactMap { $0 }
            #expect(ids.count == 2 && ids.allSatisfy { $0.utf8.allSatisfy { $0 > 0x20 } })
        }
    }

    @Test("A short trace is passed on as it is")
    func trace() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let headers: EventHeaders = [
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b",
            "baggage": .string(String(repeating: "b", count: 8192)),
        ]
        bus.subscribe(to: OrderCreated.self, group: "g", name: "created") { order, _ in
            try await bus.publish(OrderConfirmed(orderID: order.orderID))
        }
        let received = Collected<Envelope>()
        bus.subscribe(to: OrderConfirmed.self, group: "g", name: "confirmed") { _, context in
            received.add(context.envelope)
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: OrderCreated.topic, payload: Self.payload, headers: headers))
            try await broker.settled()
        }
        #expect(received.all.map(\.headers) == [headers])
    }

    @Test("Only texts of a bounded length are read from trace headers of any format")
    func limits() {
        for (name, limit) in [("traceparent", 55), ("TraceState", 512), ("baggage", 8192), ("b3", 8192)] {
            let longest = String(repeating: "x", count: limit)
            #expect(InheritedTrace.text(of: .string(longest), named: name) == longest)
            #expect(InheritedTrace.text(of: .string(longest + "x"), named: name) == nil)
            #expect(InheritedTrace.text(of: .int(1), named: name) == nil)
        }
    }

    @Test("An id that is long or has control characters is replaced by a digest, and others are kept")
    func portable() {
        for text in ["a", "é\u{202E}", String(repeating: "x", count: 255), EventID().rawValue] {
            #expect(EventID(text).portable == EventID(text))
        }
        let digests = ["a\u{0}", "a\u{1}", "\u{7F}", String(repeating: "x", count: 256)].map { EventID($0).portable }
        #expect(Set(digests).count == 4)
        #expect(digests.allSatisfy { $0.rawValue.utf8.count == 36 })
    }
}
