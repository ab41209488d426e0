import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// An operator's policy limits the length of a subscription's queue, and nobody consumes it.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct FullQueueTests {
    private static func number(_ envelope: Envelope) -> Int {
        Int(String(decoding: envelope.payload, as: UTF8.self)) ?? 0
    }

    private static func events(_ topic: Topic, _ numbers: Range<Int>) -> [Envelope] {
        numbers.map { Envelope(topic: topic, payload: Array("\($0)".utf8)) }
    }

    @Test func `a full queue holds up its own delayed events and those of no other subscription`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let (stoppedTopic, topic) = (
            try Topic(validating: "\(name).stopped"), try Topic(validating: "\(name).working")
        )
        let (kept, handled) = (SeenNumbers(), SeenNumbers())
        @Sendable func stopped() throws -> EventBus {
            let bus = try EventBus(transport: .rabbit(configuration))
            bus.subscribe(to: TopicPattern(stoppedTopic), group: "group-\(name)", name: "stopped") { event, _ in
                kept.note(event.envelope)
            }
            return bus
        }
        try await stopped().withRunning {}
        try await broker.control(
            "set_policy",
            name,
            #"^group-\#(name)\.stopped$"#,
            #"{"max-length":5,"overflow":"reject-publish"}"#,
            "--apply-to",
            "queues"
        )
        let bus = try EventBus(transport: .rabbit(configuration))
        for group in ["group-\(name)", "other-\(name)"] {
            bus.subscribe(
                to: TopicPattern(topic),
                group: group,
                name: "working",
                options: .init(concurrency: 20, retry: .fixed(.milliseconds(200), maximumAttempts: 3))
            ) { event, context in
                if context.attempt < 3 { throw HandlerFailed() }
                handled.note(event.envelope)
            }
        }
        let held = Self.events(stoppedTopic, 0..<40)
        try await bus.withRunning {
            // The policy takes effect after a while.
            try await eventually("the queue is full") {
                do {
                    try await bus.publish(Envelope(topic: stoppedTopic, payload: Array("99".utf8)))
                    return false
                } catch let error as EventBusError {
                    return error.code == .rejected
                }
            }
            for result in try await bus.publish(contentsOf: held, options: .init(delay: .milliseconds(100))) {
                #expect(try result.get().outcome == .scheduled)
            }
            for result in try await bus.publish(contentsOf: Self.events(topic, 0..<20)) { _ = try result.get() }
            for result in try await bus.publish(
                contentsOf: Self.events(topic, 20..<40),
                options: .init(delay: .milliseconds(300))
            ) { _ = try result.get() }
            try await eventually("all others, retried and scheduled", within: .seconds(20)) {
                handled.all.count == 40 && handled.count >= 80
            }
            #expect(kept.count == 0)
        }
        try await stopped().withRunning {
            try await eventually("what was held up", within: .seconds(60)) { kept.all.isSuperset(of: 0..<40) }
        }
        try await broker.control("clear_policy", name)
    }

    @Test func `an event that one of two queues refuses is rejected, and reaches it once it is published again`()
        async throws
    {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let (kept, handled) = (Received(), Received())
        @Sendable func stopped() throws -> EventBus {
            let bus = try EventBus(transport: .rabbit(configuration))
            bus.subscribe(to: TopicPattern(topic), group: "stopped-\(name)", name: "probe") { event, _ in
                kept.add(event.envelope)
            }
            return bus
        }
        try await stopped().withRunning {}
        try await broker.control(
            "set_policy",
            name,
            #"^stopped-\#(name)\.probe$"#,
            #"{"max-length":1,"overflow":"reject-publish"}"#,
            "--apply-to",
            "queues"
        )
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(to: TopicPattern(topic), group: "working-\(name)", name: "probe") { event, _ in
            handled.add(event.envelope)
        }
        try await bus.withRunning {
            var refused: Envelope?
            try await eventually("the queue is full") {
                let event = Envelope(topic: topic, payload: [])
                do {
                    try await bus.publish(event)
                    return false
                } catch let error as EventBusError {
                    #expect(error.message.contains("other queues may hold it"))
                    refused = event
                    return error.code == .rejected
                }
            }
            let event = try #require(refused)
            try await eventually("the other group has it") { handled.all.contains { $0.id == event.id } }
            await #expect(throws: EventBusError.self) { try await bus.publish(event) }
            try await stopped().withRunning {
                try await eventually("it is taken") { (try? await bus.publish(event).outcome) == .routed }
                try await eventually("the stopped group has it") { kept.all.contains { $0.id == event.id } }
            }
        }
        try await broker.control("clear_policy", name)
    }

    @Test func `a policy with another overflow turns the oldest events of a queue into dead letters`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let subscription = bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            handled.note(event.envelope)
        }
        try await bus.withRunning {
            try await subscription.attached()
            await subscription.pause()
            try await broker.control(
                "set_policy",
                name,
                #"^group-\#(name)\.probe$"#,
                #"{"max-length":2,"overflow":"drop-head"}"#,
                "--apply-to",
                "queues"
            )
            try await eventually("the policy is in force") {
                try await broker.control("list_queues", "name", "policy", "--no-table-headers").split(separator: "\n")
                    .contains { $0.contains("group-\(name).probe") && $0.hasSuffix(name) }
            }
            for result in try await bus.publish(contentsOf: Self.events(topic, 0..<10)) {
                #expect(try result.get().outcome == .routed)
            }
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("dead letters") { try await letters.count() == 8 }
            let entries = try await letters.entries(limit: 10)
            #expect(Set(entries.map { Self.number($0.envelope) }) == Set(0..<8))
            #expect(entries.allSatisfy { $0.failure.reason.rawValue == "maxlen" })
            subscription.resume()
            try await eventually("the latest are handled") { handled.all == [8, 9] }
        }
        try await broker.control("clear_policy", name)
    }
}
