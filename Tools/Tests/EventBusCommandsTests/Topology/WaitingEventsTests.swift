import EventBus
import EventBusRabbit
import Testing

/// The events that wait in a queue, which `eventbus topology retire` moves.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(2)))
struct WaitingEventsTests {
    @Test func `events that wait in a queue are read, and sent to another one as first attempts`() async throws {
        let scene = try await Scene()
        let (old, new) = (scene.queue, "\(scene.group).renamed")
        let transport = try RabbitTransport(scene.configuration)
        let bus = EventBus(transport: transport)
        try await bus.withRunning {
            // Both queues of the scene receive it.
            let events = try (0..<5).map {
                Envelope(topic: try Topic(validating: "\(scene.group).order.\($0)"), payload: Array("\($0)".utf8))
            }
            for result in try await bus.publish(contentsOf: events) { _ = try result.get() }
            let waiting = transport.waitingEvents(in: old)
            let read = try await waiting.entries()
            #expect(read.map(\.envelope.id) == events.map(\.id))
            #expect(read.map(\.envelope.topic) == events.map(\.topic))
            #expect(read.allSatisfy { $0.queue == old && $0.failure.reason.rawValue == "waiting" })
            // Sending them to where they are would not end.
            let same = await #expect(throws: EventBusError.self) { try await waiting.replayAll() }
            #expect(same?.message.contains("0 events of \(old) were replayed") == true, "\(String(describing: same))")
            await #expect(throws: EventBusError.self) { try await waiting.restore(read) }
            #expect(try await waiting.replayAll(options: ReplayOptions(queue: new)) == 5)
            #expect(try await waiting.count() == 0)
            let moved = try await transport.waitingEvents(in: new).entries()
            let (routed, sent) = (moved.prefix(5), moved.dropFirst(5))
            #expect(routed.map(\.envelope.id) == events.map(\.id))
            // In any order, because the queue may get an event back from an earlier reader after others were read.
            for event in events {
                let copy = sent.first { $0.envelope.id == event.id }
                #expect(copy?.envelope.topic == event.topic)
                #expect(copy?.envelope.payload == event.payload)
            }
            #expect(sent.count == events.count)
        }
    }
}
