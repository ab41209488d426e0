import EventBus
import EventBusRabbit
import EventBusTesting
import Logging
import Testing

private struct Question: RequestEvent {
    typealias Reply = Int
    static let topic: Topic = "access.question"
}

/// A user with limited permissions: refused operations report that, and everything else continues on the same
/// connection.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct AccessTests {
    /// Creates a user on the shared broker who may write to objects that match `write`.
    private func user(write: String) async throws -> (TestBroker, RabbitConfiguration, user: String, name: String) {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let user = freshName("user")
        let name = freshName()
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, ".*", write, ".*")
        let configuration = try broker.configuration {
            $0.credentials = .init(user: user, password: "secret")
            $0.exchange = "events-\(name)"
            $0.declaration = .passive
        }
        var owner = configuration
        owner.credentials = try RabbitConfiguration(uri: broker.url).credentials
        let queues = [
            QueueSpecification(
                group: "group-\(name)",
                name: "probe",
                patterns: [try TopicPattern(validating: "\(name).#")],
                prefetch: 16
            ),
            QueueSpecification(
                group: "group-\(name)",
                name: "question",
                patterns: [TopicPattern(Question.topic)],
                prefetch: 1
            ),
        ]
        try await RabbitTransport.declareTopology(for: queues, on: owner)
        return (broker, configuration, user, name)
    }

    private func connections(_ bus: EventBus) -> [Int] {
        bus.health().components.compactMap { $0.details["connections"] }
    }

    /// Publishes events continuously while `body` runs. Throws any error of either.
    private func publishing(
        _ bus: EventBus,
        to topic: Topic,
        while body: @escaping @Sendable () async throws -> Void
    ) async throws -> Int {
        let isDone = Switch(false)
        return try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    var count = 0
                    while !isDone.isOn {
                        try await bus.publish(
                            Envelope(topic: topic, payload: [1]),
                            options: .init(deadline: .seconds(5))
                        )
                        count += 1
                    }
                    return count
                }
            }
            group.addTask {
                defer { isDone.set(true) }
                try await body()
                return 0
            }
            return try await group.reduce(0, +)
        }
    }

    @Test func `a publish that is refused fails with a reason, and no other waits for it`() async throws {
        let (broker, configuration, user, name) = try await user(write: "^events-.*")
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(
            to: try TopicPattern(validating: "\(name).#"),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 16)
        ) { _, _ in }
        try await bus.withRunning {
            let start = ContinuousClock.now
            var slowest = Duration.zero
            let count = try await publishing(bus, to: topic) {
                for number in 0..<6 {
                    // Both levels of this delay are refused.
                    let error = await #expect(throws: EventBusError.self) {
                        try await bus.publish(
                            Envelope(topic: topic, payload: [2]),
                            options: .init(deadline: .seconds(5), delay: .milliseconds(number % 2 == 0 ? 100 : 200))
                        )
                    }
                    #expect(error?.code == .accessRefused, "\(String(describing: error))")
                }
            }
            slowest = max(slowest, start.duration(to: .now))
            #expect(connections(bus) == [1, 1])
            print("6 refused publishes beside \(count) that were not, in \(slowest), over one connection")

            // With the permission the event is sent, without a new connection.
            try await broker.control("set_permissions", user, ".*", ".*", ".*")
            try await eventually("scheduled", within: .seconds(20)) {
                let receipt = try? await bus.publish(
                    Envelope(topic: topic, payload: [3]),
                    options: .init(deadline: .seconds(5), delay: .milliseconds(100))
                )
                return receipt?.outcome == .scheduled
            }
            #expect(connections(bus) == [1, 1])
        }
    }

    @Test func `a topic that is refused is told so, the exchange's others go on`() async throws {
        let (broker, configuration, user, name) = try await user(write: ".*")
        try await broker.control("set_topic_permissions", user, "events-\(name)", "^\(name)\\.probe$", ".*")
        let topic = try Topic(validating: "\(name).probe")
        let forbidden = try Topic(validating: "\(name).forbidden")
        let transport = try RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        try await bus.withRunning {
            _ = try await publishing(bus, to: topic) {
                for _ in 0..<5 {
                    let error = await #expect(throws: EventBusError.self) {
                        try await bus.publish(
                            Envelope(topic: forbidden, payload: [2]),
                            options: .init(deadline: .seconds(5))
                        )
                    }
                    #expect(error?.code == .accessRefused)
                }
            }
            let error = await #expect(throws: EventBusError.self) {
                try await transport.request(
                    Envelope(topic: forbidden, payload: []),
                    deadline: transport.clock.now.advanced(by: .seconds(5))
                )
            }
            #expect(error?.code == .accessRefused)
            #expect(connections(bus) == [1, 1])
        }
    }

    @Test func `a retry that is refused takes the queue's own way to the dead letters`() async throws {
        let (_, configuration, _, name) = try await user(write: "^events-.*")
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(
            to: try TopicPattern(validating: "\(name).#"),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 16, retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { event, _ in
            if event.envelope.payload == [2] { throw CancellationError() }
        }
        try await bus.withRunning {
            let letters = bus.deadLetters(of: "group-\(name)")
            _ = try await publishing(bus, to: topic) {
                for _ in 0..<20 { try await bus.publish(Envelope(topic: topic, payload: [2])) }
                // An event that was unconfirmed when another one was refused may have been sent twice.
                try await eventually("with the dead letters", within: .seconds(20)) {
                    try await Set(letters.entries(limit: 100).map(\.envelope.id)).count == 20
                }
            }
            #expect(connections(bus) == [1, 1])
        }
    }

    @Test func `a reply that is refused disturbs no publish`() async throws {
        let (broker, configuration, _, name) = try await user(write: "^events-.*")
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let asked = Received()
        bus.respond(to: Question.self, group: "group-\(name)", name: "question") { _, context in
            asked.add(Envelope(topic: Question.topic, payload: []))
            return 1
        }
        var owner = configuration
        owner.credentials = try RabbitConfiguration(uri: broker.url).credentials
        let requester = try EventBus(transport: .rabbit(owner))
        try await bus.withRunning {
            try await requester.withRunning {
                let count = try await publishing(bus, to: topic) {
                    for _ in 0..<5 {
                        let error = await #expect(throws: EventBusError.self) {
                            try await requester.request(Question(), timeout: .milliseconds(500))
                        }
                        #expect(error?.code == .timedOut)
                    }
                }
                #expect(asked.all.count == 5)
                // Replies have a connection of their own.
                #expect(connections(bus) == [1, 1, 1])
                print("5 refused replies beside \(count) publishes")
            }
        }
    }

    @Test func `an exchange that is gone is told to those who publish there, the others go on`() async throws {
        let (broker, configuration, _, name) = try await user(write: ".*")
        // A separate virtual host, because all tests share the level.
        let host = freshName("host")
        try await broker.addVirtualHost(host)
        try await broker.control("set_permissions", "-p", host, configuration.credentials.user, ".*", ".*", ".*")
        var own = configuration
        own.virtualHost = host
        try await RabbitTransport.declareTopology(for: [], on: own)
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(own))
        let level = own
        try await bus.withRunning {
            // Everything has been declared when this returns.
            try await bus.publish(Envelope(topic: topic, payload: []))
            _ = try await publishing(bus, to: topic) {
                try await RabbitTransport.delete(queues: [], exchange: "eventbus.delay.v1.0", on: level)
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.publish(
                        Envelope(topic: topic, payload: []),
                        options: .init(deadline: .seconds(8), delay: .milliseconds(100))
                    )
                }
                #expect(error?.code == .notFound, "\(String(describing: error))")
            }
            #expect(connections(bus).first == 1)
            // A service that may declare restores the object without help.
            try await RabbitTransport.declareTopology(for: [], on: level)
            try await eventually("scheduled", within: .seconds(20)) {
                let receipt = try? await bus.publish(
                    Envelope(topic: topic, payload: [3]),
                    options: .init(deadline: .seconds(5), delay: .milliseconds(100))
                )
                return receipt?.outcome == .scheduled
            }
        }
    }

    @Test func `without a place for dead letters a passive service does not begin to handle`() async throws {
        let (_, configuration, _, name) = try await user(write: ".*")
        try await RabbitTransport.delete(queues: ["group-\(name).dead"], exchange: "none-\(name)", on: configuration)
        let transport = try RabbitTransport(configuration)
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [try TopicPattern(validating: "\(name).#")],
            prefetch: 1
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run() }
            group.addTask { _ = try? await transport.attach(queue, to: IgnoringSink()) }
            try await eventually("health names the queue", within: .seconds(10)) {
                transport.health().contains { $0.reason?.contains("group-\(name).dead") == true }
            }
            group.cancelAll()
        }
    }
}
