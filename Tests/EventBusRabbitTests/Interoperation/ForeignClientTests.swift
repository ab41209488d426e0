import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

private struct Placed: Event {
    static let topic: Topic = "trust.order.placed"
    var orderID: String
}

private struct Price: RequestEvent {
    typealias Reply = Int
    static let topic: Topic = "trust.price"
    var item: String
}

/// Messages of other systems. They are handled where the broker routed them, and information in them is not trusted.
@Suite(.timeLimit(.minutes(3)))
struct ForeignClientTests {
    private struct Scene {
        let name = freshName()
        let broker: TestBroker
        let configuration: RabbitConfiguration
        let bus: EventBus
        let logs = InMemoryLogHandler()

        var group: String { "group-\(name)" }

        init(_ configure: (inout RabbitConfiguration) -> Void = { _ in }) async throws {
            broker = try await TestBroker.shared()
            let exchange = "events-\(name)"
            configuration = try broker.configuration {
                $0.exchange = exchange
                configure(&$0)
            }
            let logs = logs
            bus = try EventBus(
                transport: .rabbit(configuration, logger: Logger(label: "test", factory: { _ in logs }))
            )
        }

        func topic(_ end: String) throws -> Topic { try Topic(validating: "\(name).\(end)") }
        func pattern(_ end: String) throws -> TopicPattern { try TopicPattern(validating: "\(name).\(end)") }

        /// Publishes messages with pika, each given as a JSON object.
        func send(_ messages: String...) async throws {
            try await Pika.run("send", "[\(messages.joined(separator: ","))]", broker: broker)
        }

        func count(_ queue: String) async throws -> Int {
            Int(try await Pika.run("count", queue, broker: broker).filter(\.isNumber)) ?? -1
        }
    }

    @Test func `an event is handled by its routing key, whatever type the publisher calls it`() async throws {
        let scene = try await Scene()
        let handled = Received()
        scene.bus.subscribe(to: Placed.self, group: scene.group, name: "placed") { _, context in
            handled.add(context.envelope)
        }
        try await scene.bus.withRunning {
            let exchange = scene.configuration.exchange
            for type in ["OrderPlaced", "Shop.Orders.OrderPlaced", "order-placed", "urn:order:placed", "a b"] {
                try await scene.send(
                    #"{"exchange":"\#(exchange)","routing_key":"trust.order.placed","body":"{\"orderID\":\"1\"}","#
                        + #""properties":{"type":"\#(type)"}}"#
                )
            }
            // Directly to the queue, with and without a type.
            for properties in ["{}", #"{"type":"OrderPlaced"}"#] {
                try await scene.send(
                    #"{"routing_key":"\#(scene.group).placed","body":"{\"orderID\":\"1\"}","properties":\#(properties)}"#
                )
            }
            try await eventually("all handled") { handled.all.count == 7 }
            #expect(handled.all.allSatisfy { $0.topic == Placed.topic })
            #expect(try await scene.bus.deadLetters(of: scene.group).count() == 0)
        }
    }

    @Test func `forged topics and attempts in an event of the events exchange are not believed`() async throws {
        let scene = try await Scene()
        let seen = Locked<[(Topic, Int)]>([])
        scene.bus.subscribe(
            to: try scene.pattern("#"),
            group: scene.group,
            name: "all",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        ) { event, context in
            seen.withLock { $0.append((event.topic, context.attempt)) }
            if context.attempt == 1 { throw CancellationError() }
        }
        try await scene.bus.withRunning {
            let exchange = scene.configuration.exchange
            try await scene.send(
                """
                {"exchange":"\(exchange)","routing_key":"\(scene.name).public","properties":{"type":"\(scene.name).admin",
                "headers":{"x-eventbus-topic":"\(scene.name).admin","x-eventbus-attempts":1099511627776,
                "x-eventbus-original-routing-key":"\(scene.name).admin","x-delivery-count":1000}}}
                """
            )
            try await eventually("handled at the second attempt") { seen.withLock { $0.count } == 2 }
            let expected = try scene.topic("public")
            #expect(seen.withLock { $0.map(\.0) } == [expected, expected])
            #expect(seen.withLock { $0.map(\.1) } == [1, 2])
        }
    }

    @Test func `a letter goes back to the queue the broker took it from, not where its headers say`() async throws {
        let scene = try await Scene()
        let victim = "victim-\(scene.name).payouts"
        try await Pika.run("queue", victim, broker: scene.broker)
        let queue = QueueSpecification(
            group: scene.group,
            name: "placed",
            patterns: [TopicPattern(Placed.topic)],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: scene.configuration)
        // The consumer is not running, so the events expire in the queue.
        let forged = #""x-eventbus-queue":"\#(victim)","x-eventbus-group":"victim","x-eventbus-reason":"forged\nline""#
        let death =
            #""x-death":[{"queue":"\#(victim)","reason":"rejected","exchange":"","routing-keys":["\#(victim)"]}]"#
        // A broker before 4.0 completes a record of the same queue and reason, and keeps the rest of it.
        let merged =
            #""x-death":[{"queue":"\#(scene.group).placed","reason":"expired","exchange":"","routing-keys":["\#(scene.group).placed"],"#
            + #""count":0}],"x-eventbus-error-type":"T","x-eventbus-error-message":"m\u001b","#
            + #""x-eventbus-topic":"trust.order.placed""#
        for headers in ["", forged, death, forged + "," + death, forged + "," + merged] {
            try await scene.send(
                #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.order.placed","#
                    + #""body":"{\"orderID\":\"7\"}","#
                    + #""properties":{"type":"victim.topic","expiration":"1","headers":{\#(headers)}}}"#
            )
        }
        let handled = Received()
        scene.bus.subscribe(to: Placed.self, group: scene.group, name: "placed") { _, context in
            handled.add(context.envelope)
        }
        let reader = try RabbitTransport(scene.configuration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await reader.run() }
            let letters = reader.deadLetters(of: scene.group)
            try await eventually("five letters") { try await letters.count() == 5 }
            let entries = try await letters.entries(limit: 10)
            #expect(entries.allSatisfy { $0.failure.reason == .expired })
            #expect(entries.allSatisfy { $0.queue == "\(scene.group).placed" && $0.group == scene.group })
            #expect(entries.allSatisfy { $0.envelope.topic == Placed.topic })
            #expect(entries.allSatisfy { $0.failure.errorType.isEmpty })
            #expect(entries.allSatisfy { $0.failure.message.hasPrefix("given up by the broker: expired") })
            #expect(entries.allSatisfy { !$0.failure.message.contains("\u{1B}") })
            // None of them has an id, so each must get the same id every time it is read.
            let ids = Set(entries.map(\.envelope.id))
            #expect(try await Set(letters.entries(limit: 10).map(\.envelope.id)) == ids)
            try await scene.bus.withRunning {
                #expect(try await letters.replayAll() == 5)
                try await eventually("handled") { handled.all.count == 5 }
                #expect(handled.all.allSatisfy { $0.topic == Placed.topic })
            }
            #expect(try await scene.count(victim) == 0)
            group.cancelAll()
        }
    }

    @Test func `a letter that names another group's queue stays, and the replay says why`() async throws {
        let scene = try await Scene()
        let victim = "victim-\(scene.name).payouts"
        try await Pika.run("queue", victim, broker: scene.broker)
        scene.bus.subscribe(to: Placed.self, group: scene.group, name: "placed") { _, _ in }
        try await scene.bus.withRunning {
            try await scene.send(
                #"{"exchange":"eventbus.dead.v1","routing_key":"\#(scene.group)","properties":{"message_id":"m\n1","#
                    + #""headers":{"x-eventbus-queue":"\#(victim)","x-eventbus-error-message":"a\u001bb"}}}"#
            )
            let letters = scene.bus.deadLetters(of: scene.group)
            try await eventually("a letter") { try await letters.count() == 1 }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(letter.failure.message == #"a\u{1B}b"#)
            let error = await #expect(throws: EventBusError.self) { try await letters.replayAll() }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("no queue of the group") == true)
            #expect("\(String(describing: error))".contains("\n") == false)
            #expect(try await scene.count(victim) == 0)
            #expect(try await letters.discard { $0.envelope.id == "m\n1" } == 1)
        }
    }

    @Test func `a request that names a queue for its reply is handled, not answered, and logged`() async throws {
        let scene = try await Scene { $0.allowedReplyQueues = ["allowed-*"] }
        let victim = "victim-\(scene.name).payments"
        let allowed = "allowed-\(scene.name)"
        for queue in [victim, allowed] { try await Pika.run("queue", queue, broker: scene.broker) }
        let handled = Received()
        scene.bus.respond(to: Price.self, group: scene.group, name: "price") { _, context in
            handled.add(context.envelope)
            return 7
        }
        try await scene.bus.withRunning {
            for queue in [victim, "\(scene.group).dead", allowed] {
                try await scene.send(
                    #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.price","#
                        + #""body":"{\"item\":\"x\"}","properties":{"reply_to":"\#(queue)","correlation_id":"1"}}"#
                )
            }
            try await eventually("handled") { handled.all.count == 3 }
            try await eventually("answered where it is allowed") { try await scene.count(allowed) == 1 }
            #expect(try await scene.count(victim) == 0)
            #expect(try await scene.count("\(scene.group).dead") == 0)
            let refused = scene.logs.entries.filter { "\($0.message)".contains("reply queue") }
            #expect(refused.count == 2)
            // Regular requests still work.
            #expect(try await scene.bus.request(Price(item: "x"), timeout: .seconds(10)) == 7)
        }
    }

    @Test func `a reply into the responder's own queue is not answered again`() async throws {
        let scene = try await Scene { $0.allowedReplyQueues = ["group-*"] }
        let handled = Received()
        scene.bus.respond(to: Price.self, group: scene.group, name: "price") { _, context in
            handled.add(context.envelope)
            return 7
        }
        try await scene.bus.withRunning {
            try await scene.send(
                #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.price","#
                    + #""body":"{\"item\":\"x\"}","properties":{"reply_to":"\#(scene.group).price","#
                    + #""correlation_id":"1"}}"#
            )
            let letters = scene.bus.deadLetters(of: scene.group)
            try await eventually("the reply is no request") { try await letters.count() == 1 }
            #expect(try await letters.entries(limit: 1)[0].failure.reason == .undecodable)
            #expect(handled.all.count == 1)
        }
    }

    @Test func `an event that nothing gives a topic lies in the dead letters with the reason`() async throws {
        let scene = try await Scene()
        scene.bus.subscribe(to: try scene.pattern("#"), group: scene.group, name: "all") { _, _ in }
        try await scene.bus.withRunning {
            try await scene.send(#"{"routing_key":"\#(scene.group).all","properties":{"type":"OrderPlaced"}}"#)
            let letters = scene.bus.deadLetters(of: scene.group)
            try await eventually("a letter") { try await letters.count() == 1 }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(letter.failure.reason == .noTopic)
            #expect(letter.failure.message.contains("the default exchange"))
            #expect(letter.queue == "\(scene.group).all")
        }
    }

    @Test func `JSON is read under its other names, and under those that a subscription accepts`() async throws {
        let scene = try await Scene()
        let handled = Received()
        scene.bus.subscribe(
            to: Placed.self,
            group: scene.group,
            name: "placed",
            options: .init(acceptedContentTypes: ["text/plain", "application/octet-stream"])
        ) { _, context in handled.add(context.envelope) }
        try await scene.bus.withRunning {
            let types = [
                "application/vnd.shop.v1+json", "text/json", "application/cloudevents+json; charset=UTF-8",
                "Text/Plain",
                "application/octet-stream", "",
            ]
            for type in types {
                try await scene.send(
                    #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.order.placed","#
                        + #""body":"{\"orderID\":\"7\"}","properties":{"content_type":"\#(type)"}}"#
                )
            }
            try await eventually("handled") { handled.all.count == types.count }
            try await scene.send(
                #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.order.placed","#
                    + #""properties":{"content_type":"application/json","content_encoding":"gzip"}}"#,
                #"{"exchange":"\#(scene.configuration.exchange)","routing_key":"trust.order.placed","#
                    + #""properties":{"content_type":"application/xml"}}"#
            )
            let letters = scene.bus.deadLetters(of: scene.group)
            try await eventually("two letters") { try await letters.count() == 2 }
            let entries = try await letters.entries(limit: 2)
            #expect(entries.contains { $0.failure.message.contains("gzip") && $0.envelope.contentEncoding == "gzip" })
            #expect(entries.contains { $0.failure.message.contains("application/xml") })
            #expect(entries.allSatisfy { $0.failure.reason == .undecodable })
        }
    }
}
