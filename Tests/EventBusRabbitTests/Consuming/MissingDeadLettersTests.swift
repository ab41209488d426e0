import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Events that the broker has to dead-letter while the group's queue of dead letters is missing. A classic queue drops
/// what it cannot dead-letter.
@Suite(.timeLimit(.minutes(2)))
struct MissingDeadLettersTests {
    enum Kind: CaseIterable, Sendable {
        case classic, broadcast
        /// The service may not declare the queue.
        case passive
    }

    @Test(arguments: Kind.allCases)
    func `an event that is too large is kept until the dead letters have their queue`(kind: Kind) async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
            // The watch does not find the queue missing during the test.
            $0.consumerCheckInterval = .seconds(600)
        }
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 16
        )
        var narrow = configuration
        narrow.maximumBodySize = 100
        if kind == .passive {
            try await RabbitTransport.declareTopology(for: [queue], on: configuration)
            narrow.declaration = .passive
        }
        let log = InMemoryLogHandler()
        let logger = Logger(label: "t", factory: { _ in log })
        let consumer = try EventBus(transport: .rabbit(narrow, logger: logger))
        let publisher = try EventBus(transport: .rabbit(configuration))
        let received = Received()
        consumer.subscribe(
            to: TopicPattern(topic),
            group: queue.group,
            name: queue.name,
            options: .init(broadcast: kind == .broadcast)
        ) { event, _ in received.add(event.envelope) }
        try await publisher.withRunning {
            try await consumer.withRunning {
                try await RawClient.delete(queue: "group-\(name).dead", configuration)
                let large = [UInt8](repeating: 9, count: 1000)
                try await publisher.publish(Envelope(topic: topic, payload: large))
                try await publisher.publish(Envelope(topic: topic, payload: [1]))
                try await eventually("the small one") { received.all.count == 1 }
                if kind == .passive {
                    try await eventually("received") {
                        log.entries.contains { "\($0.message)".contains("exceeds the maximum body size") }
                    }
                    try await RabbitTransport.declareTopology(for: [queue], on: configuration)
                }
                let letters = publisher.deadLetters(of: queue.group)
                try await eventually("one dead letter", within: .seconds(15)) { try await letters.count() == 1 }
                #expect(try await letters.entries(limit: 1).map(\.envelope.payload) == [large])
            }
        }
    }

    @Test func `a retry that is refused is kept until the dead letters have their queue`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let user = freshName("user")
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, ".*", "^events-.*", ".*")
        let owner = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
            $0.consumerCheckInterval = .seconds(600)
        }
        var configuration = owner
        configuration.credentials = .init(user: user, password: "secret")
        configuration.declaration = .passive
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 16
        )
        try await RabbitTransport.declareTopology(for: [queue], on: owner)
        let log = InMemoryLogHandler()
        let logger = Logger(label: "t", factory: { _ in log })
        let bus = try EventBus(transport: .rabbit(configuration, logger: logger))
        bus.subscribe(
            to: TopicPattern(topic),
            group: queue.group,
            name: queue.name,
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { _, _ in throw HandlerFailed() }
        let publisher = try EventBus(transport: .rabbit(owner))
        try await publisher.withRunning {
            try await bus.withRunning {
                try await RawClient.delete(queue: "group-\(name).dead", owner)
                try await bus.publish(Envelope(topic: topic, payload: [1]))
                try await eventually("refused") {
                    log.entries.contains { "\($0.message)".contains("the queue dead-letters it") }
                }
                try await RabbitTransport.declareTopology(for: [queue], on: owner)
                let letters = publisher.deadLetters(of: queue.group)
                try await eventually("one dead letter", within: .seconds(15)) { try await letters.count() == 1 }
            }
        }
    }
}
