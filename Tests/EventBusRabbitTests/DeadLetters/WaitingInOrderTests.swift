import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// The events that wait in the queue of a by-key subscription, from which only a consumer may take them.
@Suite(.timeLimit(.minutes(1)))
struct WaitingInOrderTests {
    @Test func `waiting events of a by-key subscription are counted, read and moved`() async throws {
        let name = freshName()
        let group = "group-\(name)"
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        func specification(_ queue: String, _ topic: String, inOrder: Bool) throws -> QueueSpecification {
            let patterns = [try TopicPattern(validating: "\(name).\(topic)")]
            return QueueSpecification(
                group: group,
                name: queue,
                patterns: patterns,
                prefetch: 16,
                singleActiveConsumer: inOrder
            )
        }
        try await RabbitTransport.declareTopology(
            for: [specification("old", "probe", inOrder: true), specification("new", "none", inOrder: false)],
            on: configuration
        )
        let transport = try RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        try await bus.withRunning {
            let (old, new) = (transport.waitingEvents(in: "\(group).old"), transport.waitingEvents(in: "\(group).new"))
            #expect(try await old.count() == 0)
            #expect(try await old.entries().isEmpty)
            let topic = try Topic(validating: "\(name).probe")
            let events = (0..<40).map { Envelope(topic: topic, payload: Array("\($0)".utf8)) }
            for result in try await bus.publish(contentsOf: events) { _ = try result.get() }
            #expect(try await old.entries().map(\.envelope.id) == events.map(\.id))
            #expect(try await old.replayAll(options: ReplayOptions(queue: "\(group).new")) == 40)
            #expect(try await old.count() == 0)
            #expect(try await new.count() == 40)
        }
    }
}
