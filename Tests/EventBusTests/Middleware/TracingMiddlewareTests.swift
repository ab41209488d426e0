import EventBus
import EventBusInMemory
import InMemoryTracing
import Testing
import Tracing

@Suite("Tracing", .timeLimit(.minutes(1)))
struct TracingMiddlewareTests {
    @Test("A trace continues from the publisher through the broker into the handler and its publishes")
    func propagation() async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker), configuration: .traced(by: tracer))
        bus.subscribe(to: OrderCreated.self, group: "g") { order, _ in
            try await bus.publish(OrderConfirmed(orderID: order.orderID))
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
        }
        let spans = tracer.finishedSpans
        let names = ["publish order.created", "process order.created", "publish order.confirmed"]
        let chain = try names.map { name in try #require(spans.first { $0.operationName == name }, "\(name)") }
        #expect(Set(chain.map(\.traceID)).count == 1)
        #expect(chain[0].parentSpanID == nil)
        #expect(chain[1].parentSpanID == chain[0].spanID)
        #expect(chain[2].parentSpanID == chain[1].spanID)
        #expect(chain[0].kind == .producer && chain[1].kind == .consumer)
        #expect(chain[1].links.map(\.context.inMemorySpanContext?.spanID) == [chain[0].spanID])
    }

    @Test("A request and its reply are in one trace, and a failing request is a failed span")
    func requests() async throws {
        let tracer = InMemoryTracer()
        let bus = EventBus(transport: .inMemory(), configuration: .traced(by: tracer))
        let subscription = bus.respond(to: GetQuote.self, group: "g") { _, _ in .init(price: 7) }
        try await bus.withRunning {
            let quote = try await bus.request(GetQuote(sku: "a"), timeout: .seconds(10))
            #expect(quote.price == 7)
            await subscription.cancel()
            await #expect(throws: EventBusError.self) {
                try await bus.request(GetQuote(sku: "a"), timeout: .milliseconds(50))
            }
        }
        let asked = tracer.finishedSpans.filter { $0.kind == .producer }
        let answered = try #require(tracer.finishedSpans.first { $0.kind == .consumer })
        #expect(asked.map { $0.status?.code == .error } == [false, true])
        #expect(answered.parentSpanID == asked.first?.spanID)
    }

    @Test("An envelope with a trace continues it, although it is published later and elsewhere")
    func carriedTrace() async throws {
        let tracer = InMemoryTracer()
        let middleware = TracingMiddleware(tracer: tracer)
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [middleware]
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        var envelope = try bus.envelope(for: OrderCreated(orderID: "1"))
        tracer.withSpan("request") { _ in middleware.injectTrace(in: &envelope) }
        let stored = envelope
        try await bus.withRunning { _ = try await bus.publish(stored) }
        let request = try #require(tracer.finishedSpans.first { $0.operationName == "request" })
        let publish = try #require(tracer.finishedSpans.first { $0.kind == .producer })
        #expect(publish.parentSpanID == request.spanID)
        #expect(publish.traceID == request.traceID)
    }

    @Test("No attribute of a span has a control character, whatever ids the publisher chose")
    func foreignIDs() async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker), configuration: .traced(by: tracer))
        bus.subscribe(to: OrderCreated.self, group: "g") { order, _ in
            try await bus.publish(OrderConfirmed(orderID: order.orderID))
        }
        let nasty = "a\n\u{1B}[2J\u{9B}31m\u{202E}"
        let foreign = Envelope(
            id: EventID(nasty),
            topic: OrderCreated.topic,
            payload: Array(#"{"orderID":"1"}"#.utf8),
            correlationID: CorrelationID(nasty)
        )
        try await bus.withRunning {
            try await bus.publish(foreign)
            try await broker.settled()
        }
        #expect(tracer.finishedSpans.count == 3)
        for span in tracer.finishedSpans {
            var texts: [String] = []
            span.attributes.forEach { _, value in
                if case .string(let text) = value { texts.append(text) }
            }
            #expect(texts.count > 5)
            for text in texts {
                #expect(!text.unicodeScalars.contains { [.control, .format].contains($0.properties.generalCategory) })
            }
        }
    }

    @Test("The spans of publishing and handling an event have the correlation id of its chain")
    func conversation() async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker), configuration: .traced(by: tracer))
        bus.subscribe(to: OrderCreated.self, group: "g") { order, _ in
            try await bus.publish(OrderConfirmed(orderID: order.orderID))
        }
        let foreign = Envelope(id: "7", topic: OrderConfirmed.topic, payload: [])
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(correlationID: "request-1"))
            _ = try await bus.publish(foreign)
            try await broker.settled()
        }
        let conversations = tracer.finishedSpans.map {
            "\($0.operationName) \($0.attributes["messaging.message.conversation_id"] ?? "none")"
        }
        #expect(
            Set(conversations) == [
                #"publish order.created string("request-1")"#, #"process order.created string("request-1")"#,
                #"publish order.confirmed string("request-1")"#, #"publish order.confirmed string("7")"#,
            ]
        )
    }

    @Test("A failed attempt is a failed span, and each attempt has its own span")
    func failures() async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker), configuration: .traced(by: tracer))
        let retry = RetryPolicy.fixed(.milliseconds(1), maximumAttempts: 2)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: retry)) { _, context in
            if context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
        }
        let spans = tracer.finishedSpans.filter { $0.kind == .consumer }
        #expect(spans.map(\.errors.count) == [1, 0])
        #expect(spans.map { $0.status?.code == .error } == [true, false])
        #expect(spans[0].attributes.get("error.type") == .string(String(reflecting: Broken.self)))
        #expect(spans[1].attributes.get("error.type") == nil)
    }

    @Test("Spans have the attributes that OpenTelemetry requires of messaging")
    func conventions() async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker), configuration: .traced(by: tracer))
        bus.subscribe(to: "order.*", group: "g", name: "orders") { _, _ in }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "7"))
            try await broker.settled()
            await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(id: "", topic: OrderConfirmed.topic, payload: []))
            }
        }
        func attributes(_ kind: SpanKind, _ topic: String) throws -> SpanAttributes {
            try #require(
                tracer.finishedSpans.first {
                    $0.kind == kind && $0.attributes.get("messaging.destination.name") == .string(topic)
                }
            ).attributes
        }
        for (kind, name, type) in [(SpanKind.producer, "publish", "send"), (.consumer, "process", "process")] {
            let attributes = try attributes(kind, "order.created")
            #expect(attributes.get("messaging.system") == .string("in-memory"))
            #expect(attributes.get("messaging.operation.name") == .string(name))
            #expect(attributes.get("messaging.operation.type") == .string(type))
            #expect(attributes.get("messaging.message.id") == .string("7"))
        }
        let consumer = try attributes(.consumer, "order.created")
        #expect(consumer.get("messaging.consumer.group.name") == .string("g"))
        #expect(consumer.get("messaging.destination.subscription.name") == .string("orders"))
        #expect(consumer.get("messaging.destination.template") == .string("order.*"))
        #expect(try attributes(.producer, "order.confirmed").get("error.type") == .string("invalidEnvelope"))
    }

    @Test("The messaging system is the transport, unless a service chooses another name", arguments: [nil, "rabbitmq"])
    func system(chosen: String?) async throws {
        let tracer = InMemoryTracer()
        let broker = InMemoryBroker()
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [TracingMiddleware(tracer: tracer, system: chosen)]
        configuration.consumeMiddleware = [TracingMiddleware(tracer: tracer, system: chosen)]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
        }
        let systems = tracer.finishedSpans.map { $0.attributes.get("messaging.system") }
        let expected = chosen ?? "in-memory"
        #expect(systems == [.string(expected), .string(expected)])
    }

    @Test("Without a tracer the step is left out")
    func inactive() {
        #expect(!TracingMiddleware().isActive)
        #expect(TracingMiddleware(tracer: InMemoryTracer()).isActive)
    }
}

extension EventBusConfiguration {
    fileprivate static func traced(by tracer: InMemoryTracer) -> EventBusConfiguration {
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [TracingMiddleware(tracer: tracer)]
        configuration.consumeMiddleware = [TracingMiddleware(tracer: tracer)]
        return configuration
    }
}
