import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Deliveries that the transport dead-letters itself, so that no subscription can try again.
@Suite(.timeLimit(.minutes(2)))
struct UntoldDeliveryTests {
    @Test func `by key, an event without a topic becomes a dead letter whenever the dead letters have their queue`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let owner = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = .seconds(600)
            $0.republishTimeout = .milliseconds(300)
        }
        let pattern = try TopicPattern(validating: "\(name).*")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [pattern],
            prefetch: 1,
            singleActiveConsumer: true
        )
        try await RabbitTransport.declareTopology(for: [queue], on: owner)
        // The service may not declare the queue of its dead letters.
        var configuration = owner
        configuration.declaration = .passive
        let transport = try RabbitTransport(configuration)
        let returned = Locked(0)
        let counting = Task { [events = transport.events()] in
            for await event in events where event.kind == .returned && event.subject == queue.group {
                returned.withLock { $0 += 1 }
            }
        }
        defer { counting.cancel() }
        let bus = EventBus(transport: transport)
        let handled = SeenNumbers()
        bus.subscribe(
            to: pattern,
            group: queue.group,
            name: queue.name,
            options: .init(concurrency: 1, prefetch: 1, ordering: .byPartitionKey)
        ) { event, _ in handled.note(event.envelope) }
        try await bus.withRunning {
            try await RawClient.delete(queue: "\(queue.group).dead", owner)
            // The default exchange leads to the queue, and nothing tells the topic.
            try await RawClient.run(owner) { client in
                try client.publish(exchange: "", routingKey: queue.queueName, flags: 0, properties: [], body: [1])
            }
            // Three attempts are made within `republishTimeout`.
            try await eventually("tried for longer than the time for one copy") { returned.withLock { $0 } >= 8 }
            try await RabbitTransport.declareTopology(for: [queue], on: owner)
            let letters = bus.deadLetters(of: queue.group)
            try await eventually("a dead letter") { try await letters.count() == 1 }
            // The place of the only prefetched delivery is free.
            try await bus.publish(Envelope(topic: try Topic(validating: "\(name).probe"), payload: Array("1".utf8)))
            try await eventually("the next one is handled") { handled.all == [1] }
        }
    }
}
