import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// The observation of events while they are published.
@Suite(.timeLimit(.minutes(2)))
struct ObservationTests {
    private struct Enough: Error {}

    @Test func `an observer sees matching events in order, and takes none from a subscription`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [try TopicPattern(validating: "\(name).#")],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: configuration)
        let seen = Locked<[Envelope]>([])
        let (started, start) = AsyncStream<Void>.makeStream()
        let pattern = try TopicPattern(validating: "\(name).order.*")
        let observer = Task {
            try await RabbitTransport.observe([pattern], on: configuration) {
                start.finish()
            } _: { event in
                let count = seen.withLock { events in
                    events.append(event)
                    return events.count
                }
                if count == 300 { throw Enough() }
            }
        }
        for await _ in started {}
        let bus = try EventBus(transport: .rabbit(configuration))
        var sent: [Envelope] = []
        for number in 0..<300 {
            let envelope = Envelope(
                topic: try Topic(validating: "\(name).order.created"),
                payload: Array("\(number)".utf8),
                correlationID: CorrelationID("c-\(number)")
            )
            sent.append(envelope)
        }
        try await bus.withRunning { [sent] in
            try await bus.publish(Envelope(topic: try Topic(validating: "\(name).other"), payload: []))
            for result in try await bus.publish(contentsOf: sent) { _ = try result.get() }
        }
        await #expect(throws: Enough.self) { try await observer.value }
        #expect(seen.withLock { $0 } == sent)
        let inspection = try await RabbitTransport.inspect(queues: [queue.queueName], on: configuration)
        #expect(inspection.queues[0].events == 301)
        try await RabbitTransport.delete(
            queues: [queue.queueName, "group-\(name).dead"],
            exchange: configuration.exchange,
            on: configuration
        )
    }

    @Test func `an observer ends when it is cancelled, and names a missing exchange`() async throws {
        let name = freshName()
        let broker = try await TestBroker.shared()
        let missing = try broker.configuration { $0.exchange = "events-\(name)" }
        let error = await #expect(throws: EventBusError.self) {
            try await RabbitTransport.observe(["#"], on: missing) { _ in }
        }
        #expect(error?.code == .notFound)
        try await RabbitTransport.declareTopology(for: [], on: missing)
        let (started, start) = AsyncStream<Void>.makeStream()
        let observer = Task {
            try await RabbitTransport.observe(["#"], on: missing, onStart: { start.finish() }) { _ in }
        }
        for await _ in started {}
        observer.cancel()
        await #expect(throws: CancellationError.self) { try await observer.value }
        try await RabbitTransport.delete(queues: [], exchange: missing.exchange, on: missing)
    }
}
