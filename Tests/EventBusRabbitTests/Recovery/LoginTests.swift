import Dispatch
import EventBus
import EventBusTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

@testable import EventBusRabbit

/// The identity and the address of each login.
@Suite(.timeLimit(.minutes(3)))
struct LoginTests {
    @Test func `a changed password is asked for at the next login, and a wrong one is named in every error`()
        async throws
    {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let user = "user-\(name)"
        try await broker.control("add_user", user, "first")
        try await broker.control("set_permissions", user, ".*", ".*", ".*")
        let password = Locked("first")
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.credentials = .init(user: user, password: "never used")
            $0.credentialsProvider = { .init(user: user, password: password.withLock { $0 }) }
            $0.livenessTimeout = .seconds(1)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: []))
            try await broker.control("change_password", user, "second")
            password.withLock { $0 = "second" }
            try await broker.control("close_all_user_connections", user, "bye")
            try await eventually("connected again", within: .seconds(30)) {
                bus.health().components.compactMap { $0.details["connections"] } == [2, 2]
            }
            try await bus.publish(Envelope(topic: topic, payload: []))
            password.withLock { $0 = "wrong" }
            try await broker.control("close_all_user_connections", user, "bye")
            try await eventually("the cause", within: .seconds(30)) {
                do {
                    let options = PublishOptions(deadline: .milliseconds(300))
                    try await bus.publish(Envelope(topic: topic, payload: []), options: options)
                    return false
                } catch let error as EventBusError {
                    return error.message.contains("ACCESS_REFUSED")
                }
            }
            try await eventually("no longer live", within: .seconds(30)) { !bus.health().isLive }
            password.withLock { $0 = "second" }
            try await eventually("live again", within: .seconds(30)) { bus.health().isReady }
        }
        try await broker.control("delete_user", user)
    }

    @Test func `a refused login names the user of the attempt`() async throws {
        let configuration = try await TestBroker.shared().configuration {
            $0.credentials = .init(user: "configured-user", password: "x")
            $0.credentialsProvider = { .init(user: "rotated-user", password: "x") }
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let error = await #expect(throws: EventBusError.self) { try await bus.run() }
        #expect(error?.code == .authenticationFailed)
        #expect(error?.message.contains("rotated-user") == true)
        #expect(error?.message.contains("configured-user") == false)
        let other = await #expect(throws: EventBusError.self) {
            try await RabbitTransport.declareTopology(for: [], on: configuration)
        }
        #expect(other?.message.contains("rotated-user") == true)
    }

    @Test func `credentials that never arrive use up the time limit of connecting, and nothing else`() async throws {
        let broker = try await TestBroker.shared()
        let release = Gate()
        let configuration = try broker.configuration {
            $0.connectTimeout = .milliseconds(200)
            $0.credentialsProvider = {
                // Ignores its cancellation.
                await release.pass()
                return .init(user: "guest", password: "guest")
            }
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let running = Task { try await bus.run() }
        try await eventually("the cause") {
            bus.health().components.contains { $0.reason?.contains("credentials were not obtained within") == true }
        }
        bus.shutdown()
        // A bus that ends before it was connected reports the reason.
        try? await running.value
        release.open()
    }

    @Test func `every address of a host is known by its number`() throws {
        #expect(try HostAddress.resolve("localhost").contains { $0 == "127.0.0.1" || $0 == "::1" })
        #expect(try HostAddress.resolve("127.0.0.1") == ["127.0.0.1"])
        #expect(throws: AMQPFailure.self) { try HostAddress.resolve("no-such-host.invalid") }
    }

    @Test func `a silent address of a host uses up its own time limit, and the next one is tried`() async throws {
        let broker = try await TestBroker.shared()
        let proxy = try TestProxy(to: broker.configuration().hosts[0].port)
        let silent = try listenOnLoopback(at: 2, port: proxy.port)
        defer { close(silent.descriptor) }
        let configuration = try broker.configuration { $0.hosts = [.init("broker", port: proxy.port)] }
        let parameters = LoginParameters(
            configuration,
            configuration.hosts[0],
            configuration.credentials,
            role: "test"
        )
        try await onThread {
            #expect(throws: AMQPFailure.self) {
                _ = try LoginThread.attempt(atEachOf: ["127.0.0.2"], parameters)
            }
            _ = try LoginThread.attempt(atEachOf: ["127.0.0.2", "127.0.0.1"], parameters)
        }
    }

    @Test func `an alarm while only consuming leaves health ready`() {
        let health = ConnectionHealth(livenessTimeout: nil)
        for role in [ConnectionHealth.Role.publish, .consume] { health.connected(role) }
        health.setBlocked(.consume, reason: "low on memory")
        #expect(health.report(prefix: "t", publishDetails: [:]).allSatisfy { $0.status == .ready })
        health.setBlocked(.publish, reason: "low on memory")
        #expect(health.report(prefix: "t", publishDetails: [:]).contains { $0.status == .notReady })
        health.setMissing("topology", "no queue 'group.dead'")
        #expect(health.report(prefix: "t", publishDetails: [:]).allSatisfy { $0.status == .notReady })
    }

    @Test func `a clash is recognized by the beginning of the broker's text`() {
        let long = String(repeating: "q", count: 200)
        let clash = TopologyClash("PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '\(long)")
        #expect(clash?.argument == "x-queue-type")
        #expect(clash?.description.contains("another x-queue-type") == true)
        #expect(AMQPFailure(.channelClosed(406), "PRECONDITION_FAILED - inequivalent arg 'x-q").isPermanent)
    }

    @Test func `channel numbers are used again, the lowest first`() async throws {
        let configuration = try await TestBroker.shared().configuration()
        let highest = try await RabbitTransport.withConnection(configuration, "trying") {
            connection,
            first throws(AMQPFailure) in
            var highest = first
            let before = ProcessFigures.now()
            for _ in 0..<(isFull ? 100_000 : 50) {
                let channel = try await connection.openChannel { _ in }
                highest = max(highest, channel)
                await connection.closeChannel(channel)
            }
            let after = ProcessFigures.now()
            print("opening and closing channels: \(before) → \(after)")
            // librabbitmq would keep 128 KiB for each number that was ever used.
            #if !TSAN
            #expect(after.residentKilobytes - before.residentKilobytes < 4096)
            #endif
            return highest
        }
        #expect(highest == 2)
    }

    @Test func `a log handler that blocks holds up nobody, and gets its lines in order`() async throws {
        let logs = InMemoryLogHandler()
        let gate = DispatchGate()
        let logger = BackgroundLogger(
            Logger(label: "test", factory: { _ in BlockingLogHandler(gate: gate, next: logs) })
        )
        for number in 0..<100 { logger.info("line \(number)\n\u{1B}", metadata: ["text": "a\nb"]) }
        // All calls have returned while the first line is still being written.
        #expect(logs.entries.isEmpty)
        gate.open()
        try await eventually("all lines") { logs.entries.count == 100 }
        #expect(logs.entries.first.map { "\($0.message)".hasPrefix("line 0") } == true)
        #expect(logs.entries.last.map { "\($0.message)".hasPrefix("line 99") } == true)
        #expect(logs.entries.allSatisfy { !"\($0.metadata)".contains("\n") })
    }
}

/// A gate that blocks threads until it is opened.
private final class DispatchGate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func open() { semaphore.signal() }

    func wait() {
        semaphore.wait()
        // It stays open.
        semaphore.signal()
    }
}

private struct BlockingLogHandler: LogHandler {
    let gate: DispatchGate
    var next: InMemoryLogHandler

    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]

    init(gate: DispatchGate, next: InMemoryLogHandler) {
        self.gate = gate
        self.next = next
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        gate.wait()
        next.log(event: event)
    }
}
