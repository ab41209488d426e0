import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Consumers that the broker has forgotten without a notification.
@Suite(.timeLimit(.minutes(2)))
struct WatchTests {
    private struct Scene {
        var name: String
        var configuration: RabbitConfiguration
        var topic: Topic
        var queue: QueueSpecification
        var proxy: TestProxy
        var log = InMemoryLogHandler()

        var queueName: String { queue.queueName }

        /// Returns a bus whose broker cannot report that it ended a consumer.
        func makeBus(_ seen: SeenNumbers) throws -> EventBus {
            let bus = try EventBus(transport: .rabbit(configuration, logger: Logger(label: "t", factory: { _ in log })))
            bus.subscribe(to: TopicPattern(topic), group: queue.group, name: queue.name) { event, _ in
                seen.note(event.envelope)
            }
            return bus
        }

        func details(_ bus: EventBus) -> [String: Int] {
            bus.health().components.first { $0.name.hasSuffix("consumer.\(queueName)") }?.details ?? [:]
        }

        /// The reasons why consumers were attached again.
        var reasons: [String] { log.entries.compactMap { $0.metadata["reason"].map { "\($0)" } } }

        func publish(_ number: Int, _ bus: EventBus) async throws -> PublishOutcome {
            try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8))).outcome
        }
    }

    private func scene(asking interval: Duration = .milliseconds(200)) async throws -> Scene {
        let broker = try await TestBroker.shared()
        let name = freshName()
        var configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = interval
        }
        let proxy = try TestProxy(to: configuration.hosts[0].port, swallowing: [.basicCancel])
        configuration.hosts[0].port = proxy.port
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 16
        )
        return Scene(name: name, configuration: configuration, topic: topic, queue: queue, proxy: proxy)
    }

    @Test func `a queue that has no consumer twice is consumed again, on the same connection`() async throws {
        // So rare that the queue exists again before it was found missing twice.
        let interval = Duration.milliseconds(700)
        let scene = try await scene(asking: interval)
        let seen = SeenNumbers()
        let bus = try scene.makeBus(seen)
        try await bus.withRunning {
            try await eventually("one consumer in health") { scene.details(bus)["consumers"] == 1 }
            func replaceQueue() async throws {
                try await RabbitTransport.delete(
                    queues: [scene.queueName],
                    exchange: "none-\(scene.name)",
                    on: scene.configuration
                )
                try await RabbitTransport.declareTopology(for: [scene.queue], on: scene.configuration)
            }
            let lost = ContinuousClock.now
            try await replaceQueue()
            var replaced = 1
            // An empty queue without a consumer looks like one whose leader is unavailable, so it must contain an
            // event.
            #expect(try await scene.publish(1, bus) == .routed)
            try await eventually("attached again", within: .seconds(40)) {
                // On a busy machine it may be found missing twice before it exists again, which is a different case.
                if scene.reasons.count(where: { $0 == "the queue is gone" }) == replaced {
                    replaced += 1
                    try await replaceQueue()
                    #expect(try await scene.publish(1, bus) == .routed)
                }
                return scene.reasons.contains("the broker knows no consumer of the queue")
            }
            try await eventually("one consumer in health again") { scene.details(bus)["consumers"] == 1 }
            let took = lost.duration(to: .now)
            try await eventually("handled") { seen.all == [1] }
            #expect(scene.proxy.swallowedMethods == replaced)
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
            print("a consumer forgotten without a word: attached again after \(took), asking every \(interval)")
        }
    }

    @Test func `a queue that is gone twice is declared and consumed again, on the same connection`() async throws {
        let scene = try await scene()
        let seen = SeenNumbers()
        let bus = try scene.makeBus(seen)
        try await bus.withRunning {
            try await eventually("one consumer in health") { scene.details(bus)["consumers"] == 1 }
            try await RabbitTransport.delete(
                queues: [scene.queueName],
                exchange: "none-\(scene.name)",
                on: scene.configuration
            )
            let lost = ContinuousClock.now
            try await eventually("attached again") { scene.reasons.contains("the queue is gone") }
            try await eventually("events are handled again") {
                let outcome = try await scene.publish(1, bus)
                return outcome == .routed && seen.all == [1]
            }
            #expect(scene.proxy.swallowedMethods == 1)
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
            print("a queue gone without a word: consumed again after \(lost.duration(to: .now)), asking every 200 ms")
        }
    }

    @Test func `objects are declared again although a queue is gone whose consumer the broker has not cancelled yet`()
        async throws
    {
        // The watch does not find the queue missing during the test.
        let scene = try await scene(asking: .seconds(600))
        let bus = try scene.makeBus(SeenNumbers())
        try await bus.withRunning {
            #expect(try await scene.publish(1, bus) == .routed)
            try await RabbitTransport.delete(
                queues: [scene.queueName],
                exchange: scene.configuration.exchange,
                on: scene.configuration
            )
            #expect(try await scene.publish(2, bus) == .unroutable)
            #expect(!bus.health().reason.contains("missing on the broker"))
            #expect(bus.health().isReady)
        }
    }

    @Test func `a queue whose exchange was deleted and declared again is bound again, on the same connection`()
        async throws
    {
        let scene = try await scene()
        let seen = SeenNumbers()
        let bus = try scene.makeBus(seen)
        try await bus.withRunning {
            #expect(try await scene.publish(1, bus) == .routed)
            try await RabbitTransport.delete(
                queues: [],
                exchange: scene.configuration.exchange,
                on: scene.configuration
            )
            let lost = ContinuousClock.now
            try await eventually("events are routed again") { try await scene.publish(2, bus) == .routed }
            print("an exchange deleted: its queue bound again after \(lost.duration(to: .now)), asking every 200 ms")
            try await eventually("handled") { seen.all == [1, 2] }
            #expect(scene.reasons.allSatisfy { !$0.contains("queue is gone") }, "nothing was attached again")
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
        }
    }

    @Test func `health says how many consumers a queue has, and what waits in it`() async throws {
        let scene = try await scene()
        let seen = SeenNumbers()
        let bus = try scene.makeBus(seen)
        try await bus.withRunning {
            try await eventually("one consumer") { scene.details(bus)["consumers"] == 1 }
            let second = Instance(try scene.makeBus(seen))
            try await eventually("two consumers") { scene.details(bus)["consumers"] == 2 }
            try await second.end()
            try await eventually("one consumer again") { scene.details(bus)["consumers"] == 1 }
            #expect(scene.details(bus)["messages"] == 0)
        }
    }
}
