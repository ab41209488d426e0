import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// A classic queue that accepts events and confirms none.
@Suite(.timeLimit(.minutes(3)))
struct SilentQueueTests {
    @Test func `a letter for a queue that confirms nothing stays alone, and the others are handled once`() async throws
    {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
            // The watch does not wait for the queue.
            $0.consumerCheckInterval = .seconds(600)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let (handled, isBroken) = (SeenNumbers(), Switch(true))
        let topics = try ["good", "bad"].map { try Topic(validating: "\(name).\($0)") }
        for (topic, subscription) in zip(topics, ["good", "bad"]) {
            bus.subscribe(
                to: TopicPattern(topic),
                group: "group-\(name)",
                name: subscription,
                options: .init(retry: .never)
            ) { event, _ in
                if isBroken.isOn { throw HandlerFailed() }
                handled.note(event.envelope)
            }
        }
        @Sendable func tell(_ call: String) async throws {
            let queue = "rabbit_misc:r(<<\"/\">>, queue, <<\"group-\(name).bad\">>)"
            try await broker.control(
                "eval",
                "{ok, Q} = rabbit_amqqueue:lookup(\(queue)), sys:\(call)(amqqueue:get_pid(Q))."
            )
        }
        try await bus.withRunning {
            let letters = bus.deadLetters(of: "group-\(name)")
            for number in 0..<10 {
                let topic = topics[number == 2 ? 1 : 0]
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                try await eventually("dead") { try await letters.count() == number + 1 }
            }
            try await tell("suspend")
            isBroken.set(false)
            let error = await #expect(throws: EventBusError.self) { try await letters.replayAll() }
            #expect(try await letters.entries().map(\.envelope.payload) == [Array("2".utf8)])
            try await tell("resume")
            #expect(error?.message.contains("9 dead letters of group-\(name).dead were replayed") == true, "\(error!)")
            // The queue has the one whose confirm did not arrive in time.
            try await eventually("handled") { handled.all == Set(0..<10) }
            #expect(handled.count == 10)
        }
    }
}
