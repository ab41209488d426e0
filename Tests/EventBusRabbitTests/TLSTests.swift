import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

/// Encrypted connections, and connections that must be refused.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct TLSTests {
    private struct Setup: Sendable {
        var broker: TestBroker
        var certificates: TestCertificates
        var port: Int
    }

    /// A broker that requires a certificate from its clients.
    private static let setup = Task {
        let certificates = try await TestCertificates.make()
        let broker = try await TestBroker.shared()
        var failure: (any Error)?
        // Another process may take the port before the broker does.
        for _ in 0..<3 {
            let port = try freePort()
            do {
                if broker.directory != nil {
                    try await broker.listen(withTLSOn: port, certificates)
                    return Setup(broker: broker, certificates: certificates, port: port)
                }
                let own = try await TestBroker.start(
                    configuration: """
                        listeners.ssl.1 = 127.0.0.1:\(port)
                        ssl_options.cacertfile = \(certificates.ca)
                        ssl_options.certfile = \(certificates.certificate("server"))
                        ssl_options.keyfile = \(certificates.key("server"))
                        ssl_options.verify = verify_peer
                        ssl_options.fail_if_no_peer_cert = true
                        """
                )
                return Setup(broker: own, certificates: certificates, port: port)
            } catch {
                failure = error
            }
        }
        throw failure ?? CancellationError()
    }

    private func configuration(
        host: String = "localhost",
        _ configure: (inout RabbitConfiguration.TLS) -> Void = { _ in }
    ) async throws -> RabbitConfiguration {
        let setup = try await Self.setup.value
        var tls = RabbitConfiguration.TLS(
            caFile: setup.certificates.ca,
            certificateFile: setup.certificates.certificate("client"),
            keyFile: setup.certificates.key("client")
        )
        configure(&tls)
        let name = freshName()
        return try setup.broker.configuration {
            $0.hosts = [.init(host, port: setup.port)]
            $0.tls = tls
            $0.exchange = "events-\(name)"
        }
    }

    private func errorOfRun(_ configuration: RabbitConfiguration, _ what: String) async -> EventBusError? {
        let start = ContinuousClock.now
        let error = await #expect(throws: EventBusError.self) { try await RabbitTransport(configuration).run() }
        print("TLS, \(what): \(error.map { "\($0.code)" } ?? "none") after \(start.duration(to: .now))")
        return error
    }

    @Test func `events of every size pass both ways`() async throws {
        let name = freshName()
        let bus = try EventBus(transport: .rabbit(await configuration()))
        let topic = try Topic(validating: "\(name).probe")
        let received = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 100)) { event, _ in
            received.add(event.envelope)
        }
        try await bus.withRunning {
            let sizes = [0, 1, 16_000, 16_384, 131_064, 3 << 20] + Array(repeating: 256, count: 2000)
            let events = sizes.map { size in
                Envelope(topic: topic, payload: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) })
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for event in events { group.addTask { try await bus.publish(event) } }
                try await group.waitForAll()
            }
            // Records in the library's memory must be found even though the socket is not readable.
            try await eventually("all \(events.count)", within: .seconds(20)) { received.all.count >= events.count }
            let arrived = Dictionary(received.all.map { ($0.id, $0.payload) }, uniquingKeysWith: { $1 })
            for event in events { #expect(arrived[event.id] == event.payload) }
        }
    }

    @Test func `an authority that is not ours is refused`() async throws {
        let setup = try await Self.setup.value
        let error = await errorOfRun(try await configuration { $0.caFile = setup.certificates.otherCA }, "wrong CA")
        #expect(error?.code == .authenticationFailed)
    }

    @Test func `a certificate for another host is refused`() async throws {
        let error = await errorOfRun(try await configuration(host: "127.0.0.1"), "wrong host")
        #expect(error?.code == .authenticationFailed)
    }

    @Test func `a CA file that is not there is named`() async throws {
        let error = await errorOfRun(try await configuration { $0.caFile = "/nowhere/ca.pem" }, "no CA file")
        #expect("\(String(describing: error))".contains("/nowhere/ca.pem"))
    }

    /// Runs `body` with a server that only listens, and returns the output of the TLS session.
    private func heard(
        _ certificate: String,
        _ options: [String] = [],
        environment: [String: String] = [:],
        connections: Int = 2,
        while body: (RabbitConfiguration) async throws -> Void
    ) async throws -> String {
        let certificates = try await Self.setup.value.certificates
        let port = try freePort()
        let server = Task {
            // The first connection only checks that the server is there. The server ends a session when its input ends,
            // so its input is a pipe that nobody writes to.
            let script = #"""
                pipe=$(mktemp -u) && mkfifo "$pipe" && exec 3<>"$pipe" && rm "$pipe"
                timeout 20 openssl s_server "$@" <&3
                true
                """#
            return try await run(
                "sh",
                [
                    "-c", script, "s_server", "-accept",
                    "127.0.0.1:\(port)", "-cert", certificates.certificate(certificate), "-key",
                    certificates.key(certificate), "-quiet", "-naccept", "\(connections)",
                ] + options,
                environment: environment
            )
        }
        try await eventually("the server listens") { portIsOpen(port) }
        var configuration = try await configuration()
        configuration.hosts = [.init("localhost", port: port)]
        configuration.connectTimeout = .seconds(1)
        try await body(configuration)
        // Each check is a connection, so that the server reaches the limit of those that it accepts.
        try await eventually("the server has ended", within: .seconds(30)) { !portIsOpen(port) }
        return try await server.value
    }

    @Test(arguments: ["expired", "elsewhere"])
    func `a server whose certificate is not right is refused before a word is said`(name: String) async throws {
        // One of the two kinds of connection is refused three times before the other one.
        let heard = try await heard(name, connections: 6) { configuration in
            let error = await errorOfRun(configuration, "certificate \(name)")
            #expect(error?.code == .authenticationFailed)
        }
        #expect(!heard.contains("AMQP"))
    }

    @Test func `a server whose certificate is right hears the protocol's first word`() async throws {
        // The data that the surrounding tests look for is detected if it is sent.
        let heard = try await heard("server") { configuration in
            let transport = try RabbitTransport(configuration)
            let running = Task { try await transport.run() }
            // The server speaks only TLS, so each connection waits for an answer until its time is over.
            try await eventually("both connections have given up") {
                let links = transport.health().filter { $0.details["connections"] != nil }
                return links.count == 2 && links.allSatisfy { $0.reason.map { $0 != "not connected yet" } ?? false }
            }
            running.cancel()
            _ = await running.result
        }
        #expect(heard.contains("AMQP"))
    }

    private static let child = "TLSTests/oldClient"

    @Test func `a server that knows nothing newer than TLS 1.1 is refused`() async throws {
        // With this file, OpenSSL itself would accept it, on both sides.
        let lenient = try temporaryFile(
            containing: """
                openssl_conf = init
                [init]
                ssl_conf = modules
                [modules]
                system_default = defaults
                [defaults]
                MinProtocol = TLSv1
                CipherString = DEFAULT:@SECLEVEL=0
                """
        )
        defer { unlink(lenient) }
        let variables = ["OPENSSL_CONF": lenient]
        let heard = try await heard("server", ["-tls1_1"], environment: variables, connections: 3) { configuration in
            let port = configuration.hosts[0].port
            let ca = configuration.tls?.caFile ?? ""
            // Accepts every client.
            let script =
                #"echo CONTROL | timeout 5 openssl s_client -quiet -no_ign_eof -tls1_1 -connect "127.0.0.1:$0"; true"#
            _ = try await run("sh", ["-c", script, "\(port)"], environment: variables)
            _ = try await TestChild.run(
                Self.child,
                variables.merging(["EVENTBUS_TEST_PORT": "\(port)", "EVENTBUS_TEST_CA": ca]) { $1 }
            )
        }
        print("TLS 1.1: \(heard.contains("CONTROL") ? "a session for others" : "no session"), none for us")
        #expect(heard.contains("CONTROL"))
        #expect(!heard.contains("AMQP"))
    }

    @Test(.enabled(if: TestChild.isRunning(child))) func oldClient() async throws {
        var configuration = try RabbitConfiguration(uri: "amqps://guest:guest@localhost/")
        configuration.hosts[0].port = try #require(environment("EVENTBUS_TEST_PORT").flatMap { Int($0) })
        configuration.tls?.caFile = try #require(environment("EVENTBUS_TEST_CA"))
        configuration.connectTimeout = .seconds(2)
        let bus = try EventBus(transport: .rabbit(configuration))
        let running = Task { try await bus.run() }
        let deadline = Duration.seconds(1)
        await #expect(throws: EventBusError.self) {
            try await bus.publish(Envelope(topic: "a.b", payload: []), options: .init(deadline: deadline))
        }
        running.cancel()
        _ = await running.result
    }

    @Test func `a broker that asks for a certificate takes no client without one`() async throws {
        let bus = try EventBus(
            transport: .rabbit(
                try await configuration {
                    $0.certificateFile = nil
                    $0.keyFile = nil
                }
            )
        )
        let running = Task { try await bus.run() }
        let error = await #expect(throws: EventBusError.self) {
            try await bus.publish(Envelope(topic: "a.b", payload: []), options: .init(deadline: .seconds(2)))
        }
        print("TLS, no client certificate: \(error.map { "\($0.code)" } ?? "none")")
        #expect(error?.code == .unavailable || error?.code == .authenticationFailed)
        running.cancel()
        _ = await running.result
    }

    @Test func `without verification a connection comes about, by its insecure name`() async throws {
        let configuration = try await configuration(host: "127.0.0.1") { $0.insecureSkipsVerification = true }
        let log = InMemoryLogHandler()
        let bus = try EventBus(transport: .rabbit(configuration, logger: Logger(label: "test", factory: { _ in log })))
        try await bus.withRunning {
            let receipt = try await bus.publish(Envelope(topic: "a.b", payload: []))
            #expect(receipt.outcome == .unroutable)
        }
        // Each connection logs it.
        let warnings = log.entries.filter { "\($0.message)".contains("verification is disabled") }
        #expect(warnings.count >= 2)
        #expect(warnings.allSatisfy { $0.level == .info })
    }
}
