import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// The permissions of the deployment guide for services that do not trust each other, with two users.
@Suite(.serialized, .timeLimit(.minutes(5)), .enabled(if: TestBroker.sharedIsOurs))
struct IsolationTests {
    private struct Price: RequestEvent {
        typealias Reply = Int
        static let topic: Topic = "mail.price"
    }

    /// A virtual host whose objects the owner has declared for the groups `mail` and `billing`, each with a user.
    private struct Scene {
        let broker: TestBroker
        let host = freshName("isolated")
        let owner: RabbitConfiguration
        let mail: RabbitConfiguration
        let billing: RabbitConfiguration

        init() async throws {
            broker = try await TestBroker.shared()
            let host = host
            try await broker.addVirtualHost(host)
            owner = try broker.configuration { $0.virtualHost = host }
            let queues = [("mail", "sent", "mail.#"), ("mail", "invoices", "billing.#"), ("billing", "all", "#")].map {
                QueueSpecification(group: $0, name: $1, patterns: [TopicPattern(stringLiteral: $2)], prefetch: 16)
            }
            try await RabbitTransport.declareTopology(for: queues, on: owner)
            mail = try await Self.user("mail", host, broker)
            billing = try await Self.user("billing", host, broker)
        }

        /// Creates a user with the permissions of the guide.
        private static func user(
            _ group: String,
            _ host: String,
            _ broker: TestBroker
        ) async throws -> RabbitConfiguration {
            let user = freshName(group)
            // In one call of Erlang's, because each start of rabbitmqctl takes a second.
            let delayed = #"^([01]\\.){20}(r\\.\#(group)\\.|e\\.[0-9a-f]{8}\\.\#(group)\\.)"#
            try await broker.control(
                "eval",
                #"""
                {User, Host, By, None} = {<<"\#(user)">>, <<"\#(host)">>, <<"test">>, <<"^$">>},
                ok = rabbit_auth_backend_internal:add_user(User, <<"secret">>, By),
                ok = rabbit_auth_backend_internal:set_permissions(User, Host, None,
                    <<"^(events|eventbus\\.delay\\.v1\\.[0-9]+)$">>, <<"^\#(group)\\..+$">>, By),
                ok = rabbit_auth_backend_internal:set_topic_permissions(User, Host, <<"events">>,
                    <<"^\#(group)\\.">>, None, By),
                [ok = rabbit_auth_backend_internal:set_topic_permissions(User, Host,
                    iolist_to_binary(["eventbus.delay.v1.", integer_to_list(Level)]),
                    <<"\#(delayed)">>, None, By) || Level <- lists:seq(0, 19)].
                """#
            )
            return try broker.configuration {
                $0.virtualHost = host
                $0.credentials = .init(user: user, password: "secret")
                $0.declaration = .passive
            }
        }
    }

    @Test func `an isolated service publishes, handles, retries, schedules and asks, and keeps its dead letters`()
        async throws
    {
        let scene = try await Scene()
        let bus = try EventBus(transport: .rabbit(scene.mail))
        let billing = try EventBus(transport: .rabbit(scene.owner))
        let (handled, invoices) = (Received(), Received())
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            to: "mail.#",
            group: "mail",
            name: "sent",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        ) { event, context in
            guard event.topic == "mail.failing" else { return handled.add(event.envelope) }
            attempts.withLock { $0.append(context.attempt) }
            throw CancellationError()
        }
        bus.subscribe(to: "billing.#", group: "mail", name: "invoices") { event, _ in invoices.add(event.envelope) }
        billing.respond(to: Price.self, group: "billing", name: "price") { _, _ in 7 }
        try await billing.withRunning {
            try await bus.withRunning {
                #expect(try await bus.publish(Envelope(topic: "mail.sent", payload: [1])).outcome == .routed)
                #expect(try await billing.publish(Envelope(topic: "billing.sent", payload: [2])).outcome == .routed)
                let scheduled = Envelope(topic: "mail.scheduled", payload: [3])
                let options = PublishOptions(delay: .milliseconds(200))
                #expect(try await bus.publish(scheduled, options: options).outcome == .scheduled)
                #expect(try await bus.request(Price(), timeout: .seconds(10)) == 7)
                try await bus.publish(Envelope(topic: "mail.failing", payload: [4]))
                try await eventually("handled") {
                    handled.all.map(\.topic).contains("mail.scheduled") && invoices.all.count == 1
                }
                // The service may not write to the exchange of dead letters, so the queue does it.
                let letters = bus.deadLetters(of: "mail")
                try await eventually("a dead letter", within: .seconds(20)) { try await letters.count() == 1 }
                #expect(attempts.withLock { $0 } == [1, 2])
                let letter = try await letters.entries(limit: 1)[0]
                #expect(letter.queue == "mail.sent")
                #expect(letter.envelope.topic == "mail.failing")
                #expect(letter.failure.reason.rawValue == "rejected")
                // Replaying requires the right to write to the default exchange.
                let error = await #expect(throws: EventBusError.self) { try await letters.replayAll() }
                #expect(error?.code == .accessRefused)
                #expect(try await billing.deadLetters(of: "mail").replayAll() == 1)
                try await eventually("replayed") { attempts.withLock { $0 } == [1, 2, 1, 2] }
                try await eventually("a dead letter", within: .seconds(20)) { try await letters.count() == 1 }
                #expect(try await letters.discard { _ in true } == 1)
            }
        }
    }

    @Test func `an isolated service reaches no other service's topics, queues and dead letters`() async throws {
        let scene = try await Scene()
        let bus = try EventBus(transport: .rabbit(scene.mail))
        let handled = Received()
        let billing = try EventBus(transport: .rabbit(scene.billing))
        billing.subscribe(to: "#", group: "billing", name: "all") { event, _ in handled.add(event.envelope) }
        try await bus.withRunning {
            for delay in [Duration.zero, .milliseconds(100), .milliseconds(200)] {
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.publish(
                        Envelope(topic: "billing.paid", payload: []),
                        options: .init(deadline: .seconds(5), delay: delay)
                    )
                }
                #expect(error?.code == .accessRefused, "\(delay)")
            }
        }
        let refused = try await RawClient.run(scene.mail) { client in
            try Self.attempts.map { name, attempt in (name, try attempt(client)) }
        }
        for (name, answer) in refused { #expect(answer == .refused, "\(name)") }
        // Nothing was deleted, and nothing has arrived.
        try await billing.withRunning {
            try await billing.publish(Envelope(topic: "billing.paid", payload: [9]))
            try await eventually("handled") { !handled.all.isEmpty }
            #expect(handled.all.map(\.payload) == [[9]])
            #expect(try await billing.deadLetters(of: "billing").count() == 0)
        }
        try await RabbitTransport.declareTopology(for: [], on: scene.owner)
    }

    @Test func `a copy that BCC brings through the delay levels into another group's queue reaches no handler`()
        async throws
    {
        let scene = try await Scene()
        let handled = Received()
        let billing = try EventBus(transport: .rabbit(scene.owner))
        billing.subscribe(to: "#", group: "billing", name: "all") { event, _ in handled.add(event.envelope) }
        let levels = String(repeating: "0.", count: 19)
        let answers = try await RawClient.run(scene.mail) { client in
            // Without and with a level's queue on the way.
            try ["0.", "1."].map { bit in
                var properties = AMQPBytes()
                properties.table([
                    ("BCC", .array([.text("\(levels)\(bit)r.billing.all")])),
                    ("x-eventbus-topic", .text("billing.paid")),
                    ("x-eventbus-attempts", .integer(7)),
                ])
                return try client.offer(
                    exchange: "eventbus.delay.v1.0",
                    routingKey: "\(levels)\(bit)r.mail.sent",
                    flags: 0x2000,
                    properties: properties.bytes,
                    body: [6]
                )
            }
        }
        // Newer brokers refuse a copy that the topic permissions do not allow.
        let accepted = answers.count { $0 != .refused }
        try await billing.withRunning {
            let letters = billing.deadLetters(of: "billing")
            try await eventually("a dead letter for each") { try await letters.count() == accepted }
            let entries = try await letters.entries(limit: 2)
            #expect(entries.allSatisfy { $0.failure.reason == .misrouted })
            if accepted > 0 {
                let error = await #expect(throws: EventBusError.self) { try await letters.replayAll() }
                #expect(error?.code == .unsupported)
            }
            #expect(try await letters.discard { _ in true } == accepted)
        }
        #expect(handled.all.isEmpty)
    }

    @Test func `a scheduled event has the topic that its publisher may use, whatever its headers say`() async throws {
        let scene = try await Scene()
        let handled = Received()
        let billing = try EventBus(transport: .rabbit(scene.owner))
        billing.subscribe(to: "#", group: "billing", name: "all") { event, _ in handled.add(event.envelope) }
        try await billing.withRunning {
            let key = String(repeating: "0.", count: 19) + "1.e.\(DelayRoute.token(of: "events")).mail.note"
            _ = try await RawClient.run(scene.mail) { client in
                var properties = AMQPBytes()
                properties.table([
                    ("x-eventbus-topic", .text("billing.paid")), ("x-eventbus-attempts", .integer(7)),
                ])
                return try client.offer(
                    exchange: "eventbus.delay.v1.0",
                    routingKey: key,
                    flags: 0x2000,
                    properties: properties.bytes,
                    body: [6]
                )
            }
            try await eventually("handled") { handled.all.map(\.topic) == ["mail.note"] }
        }
    }

    private typealias Attempt = (name: String, call: @Sendable (RawClient) throws -> RawClient.Answer)

    /// The operations that the guide says are impossible.
    private static let attempts: [Attempt] = {
        func publish(_ exchange: String, _ routingKey: String) -> Attempt {
            (
                "publish to '\(exchange)' with \(routingKey)",
                { try $0.offer(exchange: exchange, routingKey: routingKey, flags: 0, properties: [], body: [6]) }
            )
        }
        func queue(_ name: String, _ method: UInt16, _ more: @escaping @Sendable (inout AMQPBytes) -> Void) -> Attempt {
            (
                "queue method \(method) on \(name)",
                { client in
                    try client.call(50, method) { bytes in
                        bytes.short(0)
                        bytes.shortString(name)
                        more(&bytes)
                    }
                }
            )
        }
        func named(_ what: String, _ classID: UInt16, _ methodID: UInt16, _ name: String) -> Attempt {
            (
                what,
                { client in
                    try client.call(classID, methodID) { bytes in
                        bytes.short(0)
                        bytes.shortString(name)
                        bytes.octet(classID == 60 ? 1 : 0)
                    }
                }
            )
        }
        let toBilling = String(repeating: "0.", count: 19) + "1."
        @Sendable func declaration(_ bytes: inout AMQPBytes) {
            bytes.octet(2)
            bytes.longString([])
        }
        var attempts = [
            publish("", "billing.all"), publish("", "billing.dead"), publish("events", "billing.paid"),
            publish("eventbus.dead.v1", "billing"), publish("eventbus.delay.v1.0", toBilling + "r.billing.all"),
            publish("eventbus.delay.v1.0", toBilling + "q.billing.all"),
            publish("eventbus.delay.v1.0", toBilling + "t.billing.paid"),
            publish("eventbus.delay.v1.0", toBilling + "e.00000000.billing.paid"),
            publish("eventbus.delay.v1.exit", toBilling + "r.billing.all"),
            publish("eventbus.delay.v1.due", "billing.all"), publish("eventbus.delay.v1.unroutable", ""),
            queue("mail.new", 10, declaration), queue("billing.new", 10, declaration),
        ]
        attempts.append(
            queue("mail.sent", 20) { bytes in
                bytes.shortString("events")
                bytes.shortString("billing.#")
                bytes.octet(0)
                bytes.longString([])
            }
        )
        for name in ["billing.all", "billing.dead", "eventbus.delay.v1.0"] {
            attempts.append(queue(name, 30) { $0.octet(0) })
        }
        for name in ["billing.all", "mail.sent", "eventbus.delay.v1.0"] {
            attempts.append(queue(name, 40) { $0.octet(0) })
        }
        for name in ["events", "eventbus.dead.v1", "eventbus.delay.v1.0"] {
            attempts.append(named("deleting the exchange \(name)", 40, 20, name))
        }
        for name in ["billing.all", "billing.dead", "eventbus.delay.v1.0"] {
            attempts.append(named("reading \(name)", 60, 70, name))
        }
        return attempts
    }()
}
