import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Events that a service has received while an operator deletes their queue.
@Suite(.timeLimit(.minutes(2)))
struct DeletedQueueTests {
    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `events in hand are handled after their queue was deleted`(type: RabbitConfiguration.QueueType) async throws {
        let service = try await Service(queueType: type)
        let bus = try service.bus(prefetch: 10)
        try await bus.withRunning {
            try await service.publish(0..<10, on: bus)
            try await service.receivedAll(by: 1)
            try await RawClient.delete(queue: service.queue, service.configuration)
            // The consumer was cancelled, and its deliveries were revoked.
            try await eventually("declared again") {
                let waiting = try await RawClient.count(queue: service.queue, service.configuration)
                return waiting != nil && bus.health().isReady
            }
            service.mayEnd.raise()
            try await eventually("all are handled", within: .seconds(15)) { service.handled.all == Set(0..<10) }
            print("\(type): 10 events in hand, \(service.handled.count) handled after their queue was deleted")
        }
    }

    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `events in hand of two instances are handled after their queue was deleted`(
        type: RabbitConfiguration.QueueType
    ) async throws {
        let service = try await Service(queueType: type)
        let (first, second) = (try service.bus(prefetch: 5), try service.bus(prefetch: 5))
        try await first.withRunning {
            try await second.withRunning {
                try await service.publish(0..<10, on: first)
                try await service.receivedAll(by: 2)
                try await RawClient.delete(queue: service.queue, service.configuration)
                try await eventually("declared again") {
                    let waiting = try await RawClient.count(queue: service.queue, service.configuration)
                    return waiting != nil && first.health().isReady && second.health().isReady
                }
                service.mayEnd.raise()
                try await eventually("all are handled", within: .seconds(15)) { service.handled.all == Set(0..<10) }
                print("\(type): 10 events in hand of two instances, \(service.handled.count) handled")
            }
        }
    }

    /// A broker deletes a quorum queue in two steps, of which the first ends the queue and cancels its consumers.
    @Test func `events in hand are handled after their queue was reported as present while it was deleted`()
        async throws
    {
        let service = try await Service(queueType: .quorum)
        let bus = try service.bus(prefetch: 10)
        @Sendable func health(_ suffix: String) -> ComponentHealth? {
            bus.health().components.first { $0.name.hasPrefix("transport") && $0.name.hasSuffix(suffix) }
        }
        try await bus.withRunning {
            try await service.publish(0..<10, on: bus)
            try await service.receivedAll(by: 1)
            let connections = health(".consume")?.details["connections"]
            try await service.broker.control("eval", "ra:delete_cluster([{'%2F_\(service.queue)', node()}], 5000).")
            try await eventually("tried", within: .seconds(20)) { health(".probe")?.details["queue_down"] == 1 }
            try await RawClient.delete(queue: service.queue, service.configuration)
            try await eventually("declared again", within: .seconds(20)) { bus.health().isReady }
            service.mayEnd.raise()
            try await eventually("all are handled", within: .seconds(15)) { service.handled.all == Set(0..<10) }
            #expect(health(".consume")?.details["connections"] == connections)
        }
    }

    @Test func `events in hand are not sent again if their queue has only failed`() async throws {
        let service = try await Service(queueType: .classic)
        // RabbitMQ 3.10 cancelled no consumer in this case.
        guard try await service.broker.majorVersion() >= 4 else { return }
        let bus = try service.bus(prefetch: 10)
        try await bus.withRunning {
            try await service.publish(0..<10, on: bus)
            try await service.receivedAll(by: 1)
            // The broker starts the process again, and the queue has all its events.
            let name = "rabbit_misc:r(<<\"/\">>, queue, <<\"\(service.queue)\">>)"
            try await service.broker.control(
                "eval",
                "{ok, Q} = rabbit_amqqueue:lookup(\(name)), exit(amqqueue:get_pid(Q), kill)."
            )
            try await eventually("delivered again") { service.begun.count > 1 }
            service.mayEnd.raise()
            try await eventually("all are handled") { service.handled.all == Set(0..<10) }
            // Copies would be in front of it.
            try await service.publish(10..<11, on: bus)
            try await eventually("the last one is handled") { service.handled.all.contains(10) }
            #expect(service.handled.count == 11)
        }
    }
}

/// A service with one subscription, whose handler waits until it may end.
private struct Service {
    let broker: TestBroker
    let configuration: RabbitConfiguration
    let begun = SeenNumbers()
    let handled = SeenNumbers()
    let mayEnd = Signal()
    private let name: String
    private let topic: Topic

    /// The name of the subscription's queue.
    var queue: String { "group-\(name).probe" }

    init(queueType: RabbitConfiguration.QueueType) async throws {
        let name = freshName()
        self.name = name
        broker = try await TestBroker.shared()
        topic = try Topic(validating: "\(name).probe")
        configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = queueType
        }
    }

    /// Returns an instance of the service, which handles one event at a time.
    func bus(prefetch: Int) throws -> EventBus {
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 1, prefetch: prefetch)
        ) { [begun, handled, mayEnd] event, _ in
            begun.note(event.envelope)
            try await mayEnd.wait()
            handled.note(event.envelope)
        }
        return bus
    }

    func publish(_ numbers: Range<Int>, on bus: EventBus) async throws {
        for number in numbers { try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8))) }
    }

    /// Waits until each instance handles one event, and has received the others.
    func receivedAll(by instances: Int) async throws {
        try await eventually("\(instances) are being handled, the others are prefetched") {
            let waiting = try await RawClient.count(queue: queue, configuration)
            return begun.count == instances && waiting == 0
        }
    }
}
