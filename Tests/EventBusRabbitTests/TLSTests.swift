import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

/// Encrypted connections, and the ones that must not come about.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct TLSTests {
    private struct Setup: Sendable {
        var broker: TestBroker
        var certificates: TestCertificates
        var port: Int
    }

    /// A broker that asks its clients for a certificate.
    private static let setup = Task {
        let certificates = try await TestCertificates.make()
        let port = try freePort()
        let broker = try await TestBroker.start(
            configuration: """
                listeners.ssl.1 = 127.0.0.1:\(port)
                ssl_options.cacertfile = \(certificates.ca)
                ssl_options.certfile = \(certificates.certificate("server"))
                ssl_options.keyfile = \(certificates.key("server"))
                ssl_options.verify = verify_peer
                ssl_options.fail_if_no_peer_cert = true
                """
        )
        return Setup(broker: broker, certificates: certificates, port: port)
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

    private func errorOfRun(_ configuration: RabbitConfiguration) async -> EventBusError? {
        await #expect(throws: EventBusError.self) { try await RabbitTransport(configuration).run() }
    }

    @Test func `events of every size pass both ways`() async throws {
        let name = freshName()
        let bus = EventBus(transport: .rabbit(try await configuration()))
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
            // Records that wait in the library's memory are found without the socket saying so.
            try await eventually("all \(events.count)", within: .seconds(20)) { received.all.count >= events.count }
            let arrived = Dictionary(received.all.map { ($0.id, $0.payload) }, uniquingKeysWith: { $1 })
            for event in events { #expect(arrived[event.id] == event.payload) }
        }
    }

    @Test func `an authority that is not ours is refused`() async throws {
        let setup = try await Self.setup.value
        let error = await errorOfRun(try await configuration { $0.caFile = setup.certificates.otherCA })
        #expect(error?.code == .authenticationFailed)
    }

    @Test func `a certificate for another host is refused`() async throws {
        let error = await errorOfRun(try await configuration(host: "127.0.0.1"))
        #expect(error?.code == .authenticationFailed)
    }

    @Test func `a CA file that is not there is named`() async throws {
        let error = await errorOfRun(try await configuration { $0.caFile = "/nowhere/ca.pem" })
        #expect("\(String(describing: error))".contains("/nowhere/ca.pem"))
    }

    @Test(arguments: ["expired", "elsewhere"])
    func `a server whose certificate is not right is refused before the password is sent`(name: String) async throws {
        let certificates = try await Self.setup.value.certificates
        let port = try freePort()
        let server = Task {
            try await run(
                "timeout",
                [
                    "20", "openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-cert",
                    certificates.certificate(name),
                    "-key", certificates.key(name), "-quiet", "-naccept", "2",
                ]
            )
        }
        try await eventually("the server listens") { portIsOpen(port) }
        var configuration = try await configuration()
        configuration.hosts = [.init("localhost", port: port)]
        let error = await errorOfRun(configuration)
        #expect(error?.code == .authenticationFailed)
        let seen = (try? await server.value) ?? ""
        #expect(!seen.contains("AMQP"))
    }

    @Test func `a broker that asks for a certificate takes no client without one`() async throws {
        let bus = EventBus(
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
        #expect(error?.code == .timedOut || error?.code == .authenticationFailed)
        running.cancel()
        _ = await running.result
    }

    @Test func `without verification a connection comes about, by its insecure name`() async throws {
        let configuration = try await configuration(host: "127.0.0.1") { $0.insecureSkipsVerification = true }
        let bus = EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            let receipt = try await bus.publish(Envelope(topic: "a.b", payload: []))
            #expect(receipt.outcome == .unroutable)
        }
    }
}
