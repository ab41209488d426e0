import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Errors that a retry cannot fix are thrown with a code, and contain no secret.
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
        let transport = try RabbitTransport(configuration, logger: logger)
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
        let start = ContinuousClock.now
        let error = try await error(of: transport)
        print("wrong password: \(error.code) after \(start.duration(to: .now))")
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
        let start = ContinuousClock.now
        let error = try await error(of: try RabbitTransport(configuration))
        print("wrong virtual host: \(error.code) after \(start.duration(to: .now))")
        #expect(error.code == .accessRefused)
        #expect(error.message.contains("nowhere"))
    }

    /// Creates a user with these permissions on a broker of the suite.
    private func user(
        _ broker: TestBroker,
        _ name: String,
        configure: String = ".*",
        write: String = ".*",
        read: String = ".*"
    ) async throws -> RabbitConfiguration {
        let user = freshName("user")
        try await broker.control("add_user", user, Self.canary)
        try await broker.control("set_permissions", user, configure, write, read)
        return try broker.configuration {
            $0.credentials = .init(user: user, password: Self.canary)
            $0.exchange = "events-\(name)"
        }
    }

    @Test(.enabled(if: TestBroker.sharedIsOurs)) func `a user who may not declare is told so`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try await user(broker, name, configure: "^$")
        let error = try await error(of: try RabbitTransport(configuration))
        print("no right to configure: \(error.code)")
        #expect(error.code == .accessRefused, "\(error)")

        // If everything exists, the same user publishes and consumes without declaring anything.
        let owner = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: owner)
        var passive = configuration
        passive.declaration = .passive
        let bus = try EventBus(transport: .rabbit(passive))
        let received = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            received.add(event.envelope)
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: [1]))
            try await eventually("handled without the right to declare") { received.all.count == 1 }
        }
    }

    @Test(.enabled(if: TestBroker.sharedIsOurs)) func `a publish by a user who may not write ends by its deadline`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        // The exchange exists, and everything except publishing to it is allowed.
        try await RabbitTransport.declareTopology(
            for: [],
            on: try broker.configuration { $0.exchange = "events-\(name)" }
        )
        let transport = try RabbitTransport(await user(broker, name, write: "^(?!events-).*"))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            let start = ContinuousClock.now
            let deadline = Duration.seconds(3)
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.publish(
                    Envelope(topic: "a.b", payload: []),
                    options: .init(deadline: transport.clock.now.advanced(by: deadline))
                )
            }
            let took = start.duration(to: .now)
            print("no right to write: \(error.map { "\($0.code)" } ?? "none") after \(took), deadline \(deadline)")
            #expect(error != nil)
            group.cancelAll()
        }
    }

    @Test(.enabled(if: TestBroker.sharedIsOurs)) func `a user who may not read is told so when subscribing`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let queue = QueueSpecification(group: "group-\(name)", name: "probe", patterns: ["a.b"], prefetch: 1)
        let owner = try broker.configuration { $0.exchange = "events-\(name)" }
        try await RabbitTransport.declareTopology(for: [queue], on: owner)
        // Binding requires read permission for the exchange, and consuming for the queue.
        for readable in ["^(?!group-).*", "^$"] {
            let transport = try RabbitTransport(await user(broker, name, read: readable))
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await transport.run() }
                let start = ContinuousClock.now
                let error = await #expect(throws: EventBusError.self) {
                    _ = try await transport.attach(queue, to: IgnoringSink())
                }
                print("may read \(readable): \(error.map { "\($0.code)" } ?? "none") after \(start.duration(to: .now))")
                #expect(error?.code == .accessRefused, "\(String(describing: error))")
                group.cancelAll()
            }
        }
    }

    @Test(.enabled(if: TestBroker.sharedIsOurs))
    func `the password appears in nothing that is logged while all goes well, and while connections break`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        var configuration = try await user(broker, name)
        let proxy = try TestProxy(to: configuration.hosts[0].port)
        configuration.hosts[0].port = proxy.port
        let log = InMemoryLogHandler()
        var logger = Logger(label: "test", factory: { _ in log })
        logger.logLevel = .trace
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration, logger: logger), logger: logger)
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, context in
            context.logger.info("handling")
            if context.attempt == 1 { throw HandlerFailed() }
            seen.note(event.envelope)
        }
        let texts = Locked<[String]>([])
        try await bus.withRunning {
            for number in 0..<3 {
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                try await eventually("handled") { seen.all.contains(number) }
                texts.withLock { $0.append("\(bus.health())") }
                proxy.cutAll()
                try await eventually("a new connection") { proxy.connections >= 2 * (number + 2) }
            }
        }
        let all = log.entries.map { "\($0)" } + texts.withLock { $0 }
        let leaks = all.filter { $0.contains(Self.canary) }
        print(
            "password: in \(leaks.count) of \(all.count) lines of log and health, over \(proxy.connections) connections"
        )
        #expect(leaks == [])
        #expect(all.contains { $0.contains("lost the connection to RabbitMQ") })
    }

    @Test func `the password of a key appears in no error and no description`() async throws {
        var configuration = try RabbitConfiguration(uri: "amqps://user:\(Self.canary)@127.0.0.1:1/")
        configuration.tls?.certificateFile = "/nowhere/client.pem"
        configuration.tls?.keyFile = "/nowhere/client.key"
        configuration.tls?.keyPassword = Self.canary
        let log = InMemoryLogHandler()
        var logger = Logger(label: "test", factory: { _ in log })
        logger.logLevel = .trace
        let transport = try RabbitTransport(configuration, logger: logger)
        let error = try await error(of: transport)
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect("\(error)".contains("/nowhere/client.key"))
        for text in [
            "\(error)", String(reflecting: error), "\(configuration)", String(reflecting: configuration), dumped,
            "\(transport.health())", "\(log.entries)",
        ] { #expect(!text.contains(Self.canary)) }
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
        try await RabbitTransport.declareTopology(for: [queue], on: classic)
        let transport = try RabbitTransport(quorum)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run() }
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.attach(queue, to: IgnoringSink())
            }
            #expect(error?.code == .topologyClash)
            for part in ["group-\(name).probe", "x-overflow", "'reject-publish' is wanted", "none"] {
                #expect(error?.message.contains(part) ?? false, "\(part) is missing in \(String(describing: error))")
            }
            // The broker names one of the different arguments. The connection stays open and serves others.
            var other = queue
            other.name = "other"
            let consumer = try await transport.attach(other, to: IgnoringSink())
            func counts() -> [Int] { transport.health().compactMap { $0.details["connections"] } }
            try await eventually("both are connected") { counts().allSatisfy { $0 > 0 } }
            let connections = counts()
            print("clash: \(error.map { "\($0.code), \($0.message)" } ?? "none"); connections \(connections)")
            #expect(connections == [1, 1])
            await consumer.close()
            let outcome = try await transport.publish(
                Envelope(topic: "a.b", payload: []),
                options: .init(deadline: transport.clock.now.advanced(by: .seconds(5)))
            )
            #expect(outcome == .routed)
            group.cancelAll()
        }
    }

    @Test(
        arguments: [
            // A quorum queue has no such argument.
            ("x-max-priority", RabbitConfiguration.Queue(arguments: ["x-max-priority": 10])),
            ("x-message-ttl", .init(arguments: ["x-message-ttl": "soon"])),
            ("x-priority", .init(consumerArguments: ["x-priority": "high"])),
        ]
    )
    func `an argument that the broker does not accept ends the attempt to attach, and is named`(
        argument: String,
        queue: RabbitConfiguration.Queue
    ) async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.queues["group-\(name).probe"] = queue
        }
        let transport = try RabbitTransport(configuration)
        let specification = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: ["a.b"],
            prefetch: 1
        )
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.attach(specification, to: IgnoringSink())
            }
            print("not accepted: \(error?.message ?? "none")")
            #expect(error?.code == .invalidConfiguration)
            for part in [argument, "group-\(name).probe"] { #expect(error?.message.contains(part) == true) }
            group.cancelAll()
        }
    }

    @Test func `no broker at all leaves a publish with its deadline`() async throws {
        let configuration = try RabbitConfiguration(uri: "amqp://127.0.0.1:1/")
        let transport = try RabbitTransport(configuration)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            let start = ContinuousClock.now
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.publish(
                    Envelope(topic: "a.b", payload: []),
                    options: .init(deadline: transport.clock.now.advanced(by: .milliseconds(300)))
                )
            }
            print(
                "no broker: \(error.map { "\($0.code)" } ?? "none") after \(start.duration(to: .now)), deadline 300 ms"
            )
            #expect(error?.code == .unavailable)
            group.cancelAll()
        }
    }
}

/// A sink that stores nothing.
struct IgnoringSink: DeliverySink {
    func receive(_ delivery: Delivery) {}
    func revoke(through generation: UInt64) {}
}
