import EventBus
import EventBusInMemory
import EventBusRabbit
import EventBusTesting
import Testing

/// Events of a client that sets no id, published with pika.
@Suite(.timeLimit(.minutes(3)))
struct ForeignIdentityTests {
    private let name = freshName()

    private var group: String { "group-\(name)" }

    private func pattern(_ end: String) throws -> TopicPattern { try TopicPattern(validating: "\(name).\(end)") }

    private func configuration(_ broker: TestBroker) throws -> RabbitConfiguration {
        try broker.configuration { $0.exchange = "events-\(name)" }
    }

    /// Publishes events without an id, each given as a body and properties in JSON.
    private func send(_ events: (body: String, properties: String)..., broker: TestBroker) async throws {
        let messages = events.map { event in
            let body = event.body.replacing("\"", with: "\\\"")
            return #"{"exchange":"events-\#(name)","routing_key":"\#(name).placed","body":"\#(body)","#
                + #""properties":\#(event.properties)}"#
        }
        try await Pika.run("send", "[\(messages.joined(separator: ","))]", broker: broker)
    }

    @Test func `an event without an id has the same one in redeliveries, retries, dead letters and replays`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let configuration = try configuration(broker)
        let seen = Locked<[EventID]>([])
        let proxy = try TestProxy(to: configuration.hosts[0].port)
        var proxied = configuration
        proxied.hosts = [.init("127.0.0.1", port: proxy.port)]
        let bus = try EventBus(transport: .rabbit(proxied))
        bus.subscribe(
            to: try pattern("placed"),
            group: group,
            name: "orders",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { _, context in
            let calls = seen.withLock { ids in
                ids.append(context.id)
                return ids.count
            }
            if calls == 1 {
                // The broker redelivers it when the connection is gone, and the handler is cancelled.
                proxy.cutAll()
                try await Signal().wait()
            }
            if calls < 5 { throw HandlerFailed() }
        }
        try await bus.withRunning {
            try await send((#"{"number":1}"#, #"{"headers":{"tenant":"acme"}}"#), broker: broker)
            let letters = bus.deadLetters(of: group)
            try await eventually("a dead letter") { (try? await letters.count()) == 1 }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(try await letters.replay(letter.envelope.id) == 1)
            try await eventually("handled") { seen.withLock { $0.count } == 5 }
            #expect(seen.withLock { Set($0) } == [letter.envelope.id])
        }
    }

    @Test func `an inbox drops what a client sends again without an id, and nothing that differs`() async throws {
        let broker = try await TestBroker.shared()
        let bus = try EventBus(transport: .rabbit(configuration(broker)))
        let handled = Received()
        bus.subscribe(
            to: try pattern("placed"),
            group: group,
            name: "orders",
            options: .init(inbox: InMemoryInbox())
        ) { event, _ in handled.add(event.envelope) }
        try await bus.withRunning {
            try await send(
                (#"{"number":1}"#, "{}"),
                (#"{"number":1}"#, "{}"),
                (#"{"number":2}"#, "{}"),
                (#"{"number":1}"#, #"{"timestamp":7}"#),
                (#"{"number":1}"#, #"{"headers":{"n":1}}"#),
                (#"{"number":1}"#, #"{"message_id":" "}"#),
                (#"{"number":1}"#, "{}"),
                ("0", "{}"),
                broker: broker
            )
            try await eventually("all handled") { handled.all.contains { $0.payload == Array("0".utf8) } }
            try await eventually("none left") { handled.all.count == 5 }
            #expect(Set(handled.all.map(\.id)).count == 5)
        }
    }

    @Test(arguments: [false, true])
    func `what handlers of equal events without an id publish is suppressed only if equal events are one`(
        identifiesByPayload: Bool
    ) async throws {
        let broker = try await TestBroker.shared()
        let bus = try EventBus(transport: .rabbit(configuration(broker)))
        let (opened, effects) = (Received(), Received())
        var options = SubscriptionOptions(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        if identifiesByPayload { options.identity = .payload }
        bus.subscribe(to: try pattern("placed"), group: group, name: "doors", options: options) { event, context in
            // The second attempt handles a copy, which has a message id.
            if context.attempt == 1 { throw HandlerFailed() }
            try await bus.publish(Opened())
            opened.add(event.envelope)
        }
        let logging = SubscriptionOptions(concurrency: 1, inbox: InMemoryInbox())
        bus.subscribe(to: Opened.self, group: group, name: "log", options: logging) { _, context in
            effects.add(context.envelope)
        }
        try await bus.withRunning {
            try await send(("{}", "{}"), ("{}", "{}"), broker: broker)
            try await eventually("both handled") { opened.all.count == 2 }
            try await bus.publish(Opened(), options: .init(id: "end"))
            try await eventually("all published") { effects.all.contains { $0.id == "end" } }
            #expect(Set(opened.all.map(\.id)).count == 1)
            #expect(effects.all.count == (identifiesByPayload ? 2 : 3))
        }
    }

    private struct Opened: Event {
        static let topic: Topic = "door.opened"
    }

    @Test func `an id derived from a field outweighs the ids that a client makes up for each copy`() async throws {
        let broker = try await TestBroker.shared()
        let bus = try EventBus(transport: .rabbit(configuration(broker)))
        let handled = Received()
        bus.subscribe(
            to: try pattern("placed"),
            group: group,
            name: "orders",
            options: .init(
                retry: .fixed(.milliseconds(100), maximumAttempts: 2),
                inbox: InMemoryInbox(),
                identity: .field("order", "number")
            )
        ) { event, context in
            handled.add(event.envelope)
            if context.id == "3" || (context.id == "2" && context.attempt == 1) { throw HandlerFailed() }
        }
        try await bus.withRunning {
            try await send(
                (#"{"order":{"number":1}}"#, #"{"message_id":"a"}"#),
                (#"{"order":{"number":1}}"#, #"{"message_id":"b"}"#),
                (#"{"order":{"number":2}}"#, #"{"message_id":"a"}"#),
                (#"{"order":{"number":3}}"#, "{}"),
                broker: broker
            )
            let letters = bus.deadLetters(of: group)
            try await eventually("a dead letter") { try await letters.count() == 1 }
            try await eventually("all handled") { handled.all.count == 5 }
            #expect(try await letters.entries(limit: 1)[0].envelope.id == "3")
            let counts = Dictionary(grouping: handled.all, by: \.id).mapValues(\.count)
            #expect(counts == ["1": 1, "2": 2, "3": 2])
        }
    }
}
