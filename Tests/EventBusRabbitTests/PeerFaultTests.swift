import ConnectionThread
import EventBus
import EventBusTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

@testable import EventBusRabbit

/// Behavior of a peer that a real broker does not show on request.
@Suite(.timeLimit(.minutes(2)))
struct PeerFaultTests {
    private func connection(to peer: FakePeer) async throws -> RabbitConnection {
        let configuration = try configuration(peer)
        return try await .open(
            configuration,
            at: configuration.hosts[0],
            role: "test",
            thread: try ConnectionThread(name: "test"),
            watch: SendTimeoutMonitor()
        )
    }

    private func configuration(_ peer: FakePeer) throws -> RabbitConfiguration {
        var configuration = try RabbitConfiguration(uri: "amqp://127.0.0.1:\(peer.port)/")
        configuration.declaration = .passive
        configuration.newQueueGracePeriod = .zero
        configuration.reconnect = .init(initial: .milliseconds(20), maximum: .milliseconds(100))
        return configuration
    }

    /// Runs `body` beside a transport, and waits for the end of the transport.
    private func running<Result: Sendable>(
        _ transport: RabbitTransport,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                try await transport.run()
                return nil
            }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    private func publish(
        _ transport: RabbitTransport,
        headers: EventHeaders = [:],
        bytes: Int = 1,
        within limit: Duration = .seconds(5)
    ) async throws -> PublishOutcome {
        try await transport.publish(
            Envelope(topic: "a.b", payload: [UInt8](repeating: 1, count: bytes), headers: headers),
            options: .init(deadline: transport.clock.now.advanced(by: limit))
        )
    }

    @Test func `headers larger than the broker's frames fail alone`() async throws {
        let peer = try FakePeer(.init(frameMaximum: 8192))
        let transport = try RabbitTransport(configuration(peer))
        try await running(transport) {
            _ = try await publish(transport)
            let error = await #expect(throws: EventBusError.self) {
                try await publish(transport, headers: ["large": .string(String(repeating: "x", count: 20_000))])
            }
            #expect(error?.code == .tooLarge)
            for bytes in [0, 8183, 8184, 8185, 50_000] {
                #expect(try await publish(transport, bytes: bytes) == .routed)
            }
            // The connection for consuming may not be open yet.
            try await eventually("one connection of each kind, and no second one") {
                transport.health().compactMap { $0.details["connections"] } == [1, 1]
            }
        }
    }

    @Test func `what a peer says of itself may nest as deep as a frame holds`() async throws {
        // Nested arrays, with five bytes for each level.
        var value: [UInt8] = []
        let depth = DeepTables.areDecoded ? 13_000 : 33
        for _ in 0..<depth {
            var outer = AMQPBytes()
            outer.octet(UInt8(ascii: "A"))
            outer.long(UInt32(value.count))
            value = outer.bytes + value
        }
        var table = AMQPBytes()
        table.shortString("deep")
        let peer = try FakePeer(.init(serverProperties: table.bytes + value))
        let transport = try RabbitTransport(configuration(peer))
        print("server properties of \(value.count) bytes, \(depth) levels deep")
        let outcome = try await running(transport) { try await publish(transport) }
        #expect(outcome == .routed)
    }

    @Test func `one channel is enough to use one channel after another`() async throws {
        let peer = try FakePeer(.init(channelMaximum: 1))
        let connection = try await connection(to: peer)
        for _ in 0..<3 {
            let channel = try await connection.openChannel { _ in }
            #expect(channel == 1)
            let failure = await #expect(throws: AMQPFailure.self) { try await connection.openChannel { _ in } }
            #expect(failure?.isChannelOnly == true, "the connection is none the worse for it")
            await connection.closeChannel(channel)
        }
        await connection.close()
    }

    @Test func `the number of a channel that both sides close is used again only after the broker's answer`()
        async throws
    {
        let closeOK = AMQPFrame(channel: 1, payload: AMQPBytes.method(20, 41) { _ in })
        let peer = try FakePeer(
            .init(answer: { method, channel, count in
                switch method {
                // The broker's own close crosses that of the client, which it answers later.
                case .init(20, 40) where count == 1: return [.channelClose(channel, 404, "NOT_FOUND - no queue")]
                case .init(20, 10) where count == 2:
                    return [
                        closeOK,
                        AMQPFrame(channel: channel, payload: AMQPBytes.method(20, 11) { $0.longString([]) }),
                    ]
                default: return nil
                }
            })
        )
        let connection = try await connection(to: peer)
        await connection.closeChannel(try await connection.openChannel { _ in })
        let second = try await connection.openChannel { _ in }
        let reply = try await connection.call(
            .queueDeclare(QueueDeclaration(name: "q", isPassive: true)),
            on: second
        )
        guard case .queue = reply else {
            Issue.record("a declaration was answered with \(reply)")
            return
        }
        // The number is available again.
        #expect(try await connection.openChannel { _ in } == 1)
        await connection.close()
    }

    @Test func `the greatest delivery tag is a delivery like any other`() async throws {
        let peer = try FakePeer(
            .init(answer: { method, channel, _ in
                guard method == .consume else { return nil }
                let ok = AMQPFrame(channel: channel, payload: AMQPBytes.method(60, 21) { $0.shortString("tag") })
                // The request channel consumes as well.
                return [ok] + (channel > 1 ? AMQPFrame.delivery(channel, tag: .max, routingKey: "a.b") : [])
                    + AMQPFrame.delivery(channel, tag: .max - 1, routingKey: "a.b")
            })
        )
        let bus = try EventBus(transport: .rabbit(configuration(peer)))
        let received = Received()
        bus.subscribe(to: "a.b", group: "g", name: "n") { event, _ in received.add(event.envelope) }
        try await bus.withRunning {
            try await eventually("handled") { !received.all.isEmpty }
        }
    }

    @Test func `a channel that is opened again does not forget that the broker takes nothing`() async throws {
        let peer = try FakePeer(
            .init(answer: { method, channel, count in
                guard method == .publish, count == 1 else { return nil }
                let blocked = AMQPFrame(
                    channel: 0,
                    payload: AMQPBytes.method(10, 60) { $0.shortString("low on memory") }
                )
                return [blocked, .channelClose(channel, 404, "NOT_FOUND - no exchange 'events' in vhost '/'")]
            })
        )
        let transport = try RabbitTransport(configuration(peer))
        try await running(transport) {
            try await eventually("connected") { transport.health().allSatisfy { $0.status == .ready } }
            let error = await #expect(throws: EventBusError.self) {
                try await publish(transport, within: .seconds(2))
            }
            #expect(error?.code == .indeterminate)
            let opened = peer.seen.methods.count { $0 == .confirmSelect }
            #expect(opened >= 3, "the channel was opened again")
            let second = await #expect(throws: EventBusError.self) {
                try await publish(transport, within: .milliseconds(300))
            }
            #expect(second?.code == .blocked)
            #expect(peer.seen.routingKeys == ["a.b"], "it was sent although the broker takes nothing")
        }
    }

    @Test func `a broker that answers one call after another is not silent, however many wait`() async throws {
        let declaring = FakePeer.Method(40, 10)
        let peer = try FakePeer(
            .init(answer: { method, _, _ in
                if method == declaring { usleep(120_000) }
                return nil
            })
        )
        var configuration = try configuration(peer)
        configuration.commandTimeout = .seconds(2)
        let plan = TopologyPlan(configuration).sharedCheck
        let exchanges = plan.count { if case .exchangeDeclare = $0 { true } else { false } }
        // All of them are requested together, and all answers together take longer than a single one may.
        #expect(Double(exchanges) * 0.12 > 2)
        let transport = try RabbitTransport(configuration)
        try await running(transport) {
            let outcome = try await publish(transport, within: .seconds(30))
            #expect(outcome == .routed)
            try await eventually("one connection of each kind, and no second one") {
                transport.health().compactMap { $0.details["connections"] } == [1, 1]
            }
        }
    }

    @Test func `dead letters that nobody confirms leave room for publishes`() async throws {
        let window = 2
        let peer = try FakePeer(
            .init(answer: { method, channel, count in
                switch method {
                case .confirmSelect where count == 2:
                    // The channel of retries and dead letters is the second one, and gets no event.
                    return [AMQPFrame(channel: channel, payload: AMQPBytes.method(85, 11) { _ in })]
                case .consume:
                    let ok = AMQPFrame(channel: channel, payload: AMQPBytes.method(60, 21) { $0.shortString("tag") })
                    // The request channel consumes as well, and drops messages that answer no request.
                    return [ok] + (1...4).flatMap { AMQPFrame.delivery(channel, tag: $0, routingKey: "a.b") }
                default: return nil
                }
            })
        )
        var configuration = try configuration(peer)
        configuration.maximumUnconfirmedEvents = window
        var busConfiguration = EventBusConfiguration()
        // The dead letters are never confirmed, so their deliveries are not settled either.
        busConfiguration.shutdownTimeout = .seconds(1)
        busConfiguration.cancellationGrace = .milliseconds(500)
        let bus = try EventBus(transport: .rabbit(configuration), configuration: busConfiguration)
        bus.subscribe(to: "a.b", group: "g", name: "n", options: .init(concurrency: 4, retry: .never)) { _, _ in
            throw HandlerFailed()
        }
        let running = Task { try? await bus.run() }
        defer { running.cancel() }
        try await eventually("the window of dead letters is full") {
            peer.seen.routingKeys.count { $0 == "g" } == window
        }
        for _ in 0..<2 * window {
            let event = Envelope(topic: "c.d", payload: [])
            #expect(try await bus.publish(event, options: .init(deadline: .seconds(10))).outcome == .routed)
        }
        bus.shutdown()
        await running.value
    }

    @Test func `a shutdown ends by its deadline, also when the broker answers nothing`() async throws {
        let peer = try FakePeer()
        var busConfiguration = EventBusConfiguration()
        busConfiguration.shutdownTimeout = .seconds(1)
        busConfiguration.cancellationGrace = .milliseconds(500)
        let bus = try EventBus(transport: .rabbit(configuration(peer)), configuration: busConfiguration)
        bus.subscribe(to: "a.b", group: "g", name: "n") { _, _ in }
        let ended = Switch(false)
        let running = Task {
            try? await bus.run()
            ended.set(true)
        }
        try await eventually("ready") { bus.health().isReady }
        peer.freeze()
        let start = ContinuousClock.now
        bus.shutdown()
        try await eventually("ended", within: .seconds(8)) { ended.isOn }
        print("shutdown with 1 s and a silent broker: \(start.duration(to: .now))")
        await running.value
    }

    @Test func `a shutdown does not wait for the answer to a look at delayed events`() async throws {
        let peer = try FakePeer(
            .init(answer: { method, channel, count in
                switch method {
                // Delayed events are looked for after something was missing.
                case .publish where count == 1: [.channelClose(channel, 404, "NOT_FOUND - no exchange 'events'")]
                case .get: []
                default: nil
                }
            })
        )
        var configuration = try configuration(peer)
        configuration.commandTimeout = .seconds(600)
        let transport = try RabbitTransport(configuration)
        try await running(transport) {
            _ = try? await publish(transport)
            try await eventually("asked for a delayed event") { peer.seen.methods.contains(.get) }
        }
    }

    @Test func `a connection on which anyone may pose as the broker is named as such, whoever makes it`() async throws {
        let log = InMemoryLogHandler()
        let logger = Logger(label: "test", factory: { _ in log })
        var configuration = try RabbitConfiguration(uri: "amqps://127.0.0.1:\(try freePort())/")
        configuration.tls?.insecureSkipsVerification = true
        await #expect(throws: EventBusError.self) {
            try await RabbitTransport.declareTopology(for: [], on: configuration, logger: logger)
        }
        await #expect(throws: EventBusError.self) {
            try await RabbitTransport.retireQueue(group: "g", name: "n", on: configuration, logger: logger)
        }
        #expect(log.entries.count { "\($0.message)".contains("verification is disabled") } == 2)
    }

    @Test func `what rests until someone acts is not dropped for being looked at`() throws {
        let plan = TopologyPlan(try RabbitConfiguration(uri: "amqp://h"))
        var resting: [String: HeaderValue] = [:]
        for case .queueDeclare(let queue) in plan.shared + plan.deadLetters(of: "g")
        where [TopologyNames.delayUnroutable, "g.dead"].contains(queue.name) {
            resting[queue.name] = queue.arguments["x-delivery-limit"]
        }
        #expect(resting == [TopologyNames.delayUnroutable: 1_000_000_000, "g.dead": 1_000_000_000])
    }
}
