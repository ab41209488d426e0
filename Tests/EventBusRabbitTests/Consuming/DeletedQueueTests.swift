import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Events that a service has received while an operator deletes their queue.
@Suite(.timeLimit(.minutes(2)))
struct DeletedQueueTests {
    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `events in hand are handled after their queue was deleted`(type: RabbitConfiguration.QueueType) async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = type
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let (begun, handled, mayEnd) = (SeenNumbers(), SeenNumbers(), Signal())
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 1, prefetch: 10)
        ) { event, _ in
            begun.note(event.envelope)
            try await mayEnd.wait()
            handled.note(event.envelope)
        }
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8))) }
            try await eventually("one is being handled, the others are prefetched") {
                let waiting = try await RawClient.count(queue: "group-\(name).probe", configuration)
                return begun.count == 1 && waiting == 0
            }
            try await RawClient.delete(queue: "group-\(name).probe", configuration)
            // The consumer was cancelled, and its deliveries were revoked.
            try await eventually("declared again") {
                let waiting = try await RawClient.count(queue: "group-\(name).probe", configuration)
                return waiting != nil && bus.health().isReady
            }
            mayEnd.raise()
            try await eventually("all are handled", within: .seconds(15)) { handled.all == Set(0..<10) }
            #expect(handled.all == Set(0..<10))
            print("\(type): 10 events in hand, \(handled.count) handled after their queue was deleted")
        }
    }
}
