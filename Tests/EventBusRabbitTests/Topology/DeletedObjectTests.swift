import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// An operator deletes the objects that the library declared, one after another, while they are in use.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct DeletedObjectTests {
    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `whatever is deleted is declared again, and what was in hand goes on`(
        type: RabbitConfiguration.QueueType
    ) async throws {
        let shared = try await TestBroker.shared()
        try #require(shared.directory != nil, "needs a broker of our own")
        let name = freshName()
        try await shared.addVirtualHost(name)
        let configuration = try shared.configuration {
            $0.virtualHost = name
            $0.queueType = type
            // Every fifth check finds missing objects that no event has revealed.
            $0.consumerCheckInterval = .milliseconds(200)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let attempts = SeenNumbers()
        let handled = SeenNumbers()
        let topic = try Topic(validating: "\(name).probe")
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group",
            name: "probe",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        ) { event, context in
            attempts.note(event.envelope)
            let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
            // Even numbers are handled at the second attempt, and odd ones never.
            if number % 2 == 1 || context.attempt == 1 { throw HandlerFailed() }
            handled.note(event.envelope)
        }
        let objects = [
            "queue group.dead", "exchange eventbus.dead.v1", "exchange events", "queue group.probe",
            "exchange eventbus.delay.v1.exit", "queue eventbus.delay.v1.0", "exchange eventbus.delay.v1.0",
            "exchange eventbus.delay.v1.due", "queue eventbus.delay.v1.due.group.probe", "queue eventbus.delay.v1.1",
            "queue eventbus.delay.v1.unroutable", "exchange eventbus.delay.v1.unroutable",
        ]
        try await bus.withRunning {
            let letters = bus.deadLetters(of: "group")
            for (index, object) in objects.enumerated() {
                let before = try await letters.count()
                let name = String(object.split(separator: " ")[1])
                if object.hasPrefix("queue") {
                    try await RawClient.delete(queue: name, configuration)
                } else {
                    try await RawClient.delete(exchange: name, configuration)
                }
                let deleted = ContinuousClock.now
                if object.contains(".due.") {
                    // Events that are due before the next check are kept with the unroutable delays.
                    try await eventually("\(object): declared again", within: .seconds(10)) {
                        try await RawClient.count(queue: name, configuration) != nil
                    }
                }
                let (good, bad, scheduled) = (index * 10, index * 10 + 1, index * 10 + 2)
                for number in [good, bad] {
                    // Until the queue exists again, nobody subscribes.
                    try await eventually("\(object): routed", within: .seconds(30)) {
                        let event = Envelope(topic: topic, payload: Array("\(number)".utf8))
                        return try await bus.publish(event).outcome == .routed
                    }
                }
                let event = Envelope(topic: topic, payload: Array("\(scheduled)".utf8))
                let receipt = try await bus.publish(event, options: .init(delay: .milliseconds(300)))
                #expect(receipt.outcome == .scheduled, "\(object)")
                try await eventually("\(object): retried and scheduled", within: .seconds(60)) {
                    handled.all.isSuperset(of: [good, scheduled])
                }
                let expected = object == "queue group.dead" ? 1 : before + 1
                try await eventually("\(object): dead-lettered", within: .seconds(60)) {
                    try await letters.count() == expected
                }
                print("\(type), \(object): works again after \(deleted.duration(to: .now))")
            }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(letter.failure.reason == .attemptsExhausted)
        }
    }
}
