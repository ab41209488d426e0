import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Delayed events that are due while a queue or exchange on their way to the subscription is missing.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct DelayRestorerTests {
    @Test func `delayed events that found no queue are handled once it is there again`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            // So rare that the events are due before the next check.
            $0.consumerCheckInterval = .seconds(5)
        }
        let topic = try Topic(validating: "\(name).probe")
        let transport = try RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        let (failed, retried, scheduled) = (SeenNumbers(), SeenNumbers(), SeenNumbers())
        let attempts = Locked<Set<Int>>([])
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 20, retry: .fixed(.seconds(1), maximumAttempts: 3))
        ) { event, context in
            let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
            if number >= 20 { return scheduled.note(event.envelope) }
            guard context.attempt > 1 else {
                failed.note(event.envelope)
                throw HandlerFailed()
            }
            attempts.withLock { _ = $0.insert(context.attempt) }
            retried.note(event.envelope)
        }
        @Sendable func events(_ numbers: Range<Int>) -> [Envelope] {
            numbers.map { Envelope(topic: topic, payload: Array("\($0)".utf8)) }
        }
        let queue = "group-\(name).probe"
        @Sendable func waiting() async throws -> Int {
            try await transport.unroutableDelays.entries(limit: 10_000).count {
                $0.queue == queue || $0.envelope.topic == topic
            }
        }
        try await bus.withRunning {
            for result in try await bus.publish(contentsOf: events(0..<20)) { _ = try result.get() }
            for result in try await bus.publish(contentsOf: events(20..<40), options: .init(delay: .seconds(1))) {
                _ = try result.get()
            }
            try await eventually("failed once") { failed.all.count == 20 }
            // All of them are in the delay levels.
            try await RawClient.delete(queue: TopologyNames.dueQueue(of: queue), configuration)
            try await eventually("they found no queue") { try await waiting() == 40 }
            try await eventually("all retried and scheduled", within: .seconds(60)) {
                retried.all.count == 20 && scheduled.all.count == 20
            }
            #expect(attempts.withLock { $0 } == [2], "the attempts go on where they were")
            try await eventually("none is left") { try await waiting() == 0 }
        }
    }
}
