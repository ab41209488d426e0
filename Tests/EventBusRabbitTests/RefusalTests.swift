import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// What no second attempt can mend is thrown with a code, and names no secret.
@Suite(.timeLimit(.minutes(2)))
struct RefusalTests {
    private static let canary = "c4n4ry-p4ssw0rd"

    private func error(of transport: RabbitTransport) async throws -> EventBusError {
        do {
            try await transport.run()
        } catch let error as EventBusError {
            return error
        }
        throw EventBusError(.unsupported, "run() returned")
    }

    @Test func `a wrong password ends the run, and appears nowhere`() async throws {
        let broker = try await TestBroker.shared()
        let log = InMemoryLogHandler()
        var logger = Logger(label: "test", factory: { _ in log })
        logger.logLevel = .trace
        let configuration = try broker.configuration { $0.credentials.password = Self.canary }
        let transport = RabbitTransport(configuration, logger: logger)
        let publishing = Task { () -> (any Error)? in
            do {
                _ = try await transport.publish(
                    Envelope(topic: "a.b", payload: []),
                    options: .init(deadline: transport.clock.now.advanced(by: .seconds(20)))
                )
                return nil
            } catch {
                return error
            }
        }
        let error = try await error(of: transport)
        #expect(error.code == .authenticationFailed)
        let publishError = await publishing.value
        #expect((publishError as? EventBusError)?.code == .authenticationFailed)
        #expect(transport.health().contains { $0.status == .failed })
        #expect(!log.entries.isEmpty)
        var configured = ""
        dump(configuration, to: &configured)
        let texts =
            log.entries.map { "\($0)" } + [
                "\(error)", String(reflecting: error), "\(configuration)", String(reflecting: configuration),
                configured,
                String(describing: publishError), "\(transport.health())",
            ]
        for text in texts { #expect(!text.contains(Self.canary)) }
    }

    @Test func `a password in a bad URI appears in no error`() {
        for uri in [
            "amqp://user:\(Self.canary)@host:99999/", "http://user:\(Self.canary)@host",
            "amqp://user:\(Self.canary)@/", "amqp://user:\(Self.canary)%zz@host", "amqp://u:\(Self.canary)@h/a/b",
            "amqp://u:\(Self.canary)@h?x=y",
        ] {
            let error = #expect(throws: EventBusError.self) { try RabbitConfiguration(uri: uri) }
            #expect(error?.code == .invalidConfiguration)
            #expect(!"\(String(describing: error))".contains(Self.canary))
        }
    }

    @Test func `a virtual host that is not there ends the run`() async throws {
        let broker = try await TestBroker.shared()
        let configuration = try broker.configuration { $0.virtualHost = "nowhere" }
        let error = try await error(of: RabbitTransport(configuration))
        #expect(error.code == .accessRefused)
        #expect(error.message.contains("nowhere"))
    }

    @Test func `a user who may not declare is told so`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let user = freshName("user")
        let name = freshName()
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, "^$", ".*", ".*")
        let configuration = try broker.configuration {
            $0.credentials = .init(user: user, password: "secret")
            $0.exchange = "events-\(name)"
        }
        let error = try await error(of: RabbitTransport(configuration))
        #expect(error.code == .accessRefused, "\(error)")

        // With everything in place the same user publishes and consumes; it need not declare.
        let owner = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], owner)
        var passive = configuration
        passive.declaration = .passive
        let bus = EventBus(transport: .rabbit(passive))
        let received = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            received.add(event.envelope)
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: [1]))
            try await eventually("handled without the right to declare") { received.all.count == 1 }
        }
    }

    @Test func `a queue with other arguments is a clash that names them`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let classic = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
        }
        var quorum = classic
        quorum.queueType = .quorum
        let queue = QueueSpecification(group: "group-\(name)", name: "probe", patterns: ["a.b"], prefetch: 1)
        try await RabbitTransport.declareTopology(for: [queue], classic)
        let transport = RabbitTransport(quorum)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run() }
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.attach(queue, to: IgnoringSink())
            }
            #expect(error?.code == .topologyClash)
            for part in ["group-\(name).probe", "x-overflow", "'reject-publish' is wanted", "none"] {
                #expect(error?.message.contains(part) ?? false, "\(part) is missing in \(String(describing: error))")
            }
            // The broker names one of the arguments that differ. The connection lives on.
            let outcome = try await transport.publish(
                Envelope(topic: "a.b", payload: []),
                options: .init(deadline: transport.clock.now.advanced(by: .seconds(5)))
            )
            #expect(outcome == .routed)
            group.cancelAll()
        }
    }

    @Test func `no broker at all leaves a publish with its deadline`() async throws {
        let configuration = try RabbitConfiguration(uri: "amqp://127.0.0.1:1/")
        let transport = RabbitTransport(configuration)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            let start = ContinuousClock.now
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.publish(
                    Envelope(topic: "a.b", payload: []),
                    options: .init(deadline: transport.clock.now.advanced(by: .milliseconds(300)))
                )
            }
            #expect(error?.code == .timedOut)
            #expect(start.duration(to: .now) < .milliseconds(1300))
            group.cancelAll()
        }
    }
}

/// Stores nothing.
struct IgnoringSink: DeliverySink {
    func receive(_ delivery: Delivery) {}
    func revoke(through generation: UInt64) {}
}
