import EventBus
import Glibc
import Logging

@testable import EventBusRedis

/// A disposable Redis server on a free loopback port. It is stopped when the last reference is released or the process
/// ends.
final class RedisServer: Sendable {
    let port: Int
    let socketPath: String
    private let directory: String
    private let options: [String]
    private let process: Locked<ChildProcess?>

    /// The port for the other nodes of a cluster.
    let busPort: Int

    /// Starts a server and waits until it answers.
    convenience init(_ options: String...) async throws {
        try await self.init(options: options)
    }

    /// Starts a node of a cluster, which does not serve any slot.
    ///
    /// - Parameter clusterNodeTimeout: The milliseconds after which other nodes take it for dead.
    convenience init(clusterNodeTimeout: Int) async throws {
        // By default, the server would take a port that may be in use.
        let busPort = try freePort()
        try await self.init(
            options: [
                "--cluster-enabled", "yes", "--cluster-port", "\(busPort)", "--cluster-node-timeout",
                "\(clusterNodeTimeout)", "--repl-diskless-sync-delay", "0",
            ],
            busPort: busPort
        )
    }

    init(options: [String], busPort: Int = 0) async throws {
        self.busPort = busPort
        var template = Array("/tmp/eventbus-redis.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EventBusError(.unavailable, "no temporary directory") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        socketPath = "\(directory)/socket"
        port = try freePort()
        self.options = options
        process = Locked(nil)
        try await start()
    }

    deinit {
        process.withLock { $0 = nil }
        unlink(socketPath)
        unlink("\(directory)/log")
        unlink("\(directory)/nodes.conf")
        rmdir(directory)
    }

    var configuration: RedisConfiguration {
        var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
        configuration.reconnect.maximum = .milliseconds(100)
        return configuration
    }

    func client(_ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisClient {
        var configuration = configuration
        change(&configuration)
        return try RedisClient(configuration, logger: .silent)
    }

    /// Returns a client of this node alone, which follows no redirections.
    func nodeClient() throws -> RedisClient {
        try client { $0.isClusterNode = true }
    }

    func start() async throws {
        let arguments =
            [
                "redis-server", "--bind", "127.0.0.1", "--port", "\(port)", "--dir", directory, "--save", "",
                "--appendonly", "no", "--unixsocket", socketPath, "--logfile", "\(directory)/log",
            ] + options
        let child = try ChildProcess(arguments)
        process.withLock { $0 = child }
        let probe = try RawConnection(waitingFor: port)
        // Any reply suffices, including a refused login.
        probe.write("PING\r\n")
        _ = try probe.read()
    }

    /// Sends SIGKILL.
    func kill() { signal(SIGKILL) }
    func pause() { signal(SIGSTOP) }
    func resume() { signal(SIGCONT) }

    private func signal(_ number: Int32) {
        let child = process.withLock { process in
            defer { if number == SIGKILL { process = nil } }
            return process
        }
        child?.signal(number)
        if number == SIGKILL { child?.end() }
    }
}

extension BackgroundLogger {
    static var silent: BackgroundLogger { BackgroundLogger(.silent) }
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// Resources that several tests share, which are created once.
enum SharedRedis {
    private static let server = Task { try await RedisServer() }

    /// Returns the configuration of the server from the environment, or of a private one.
    static func configuration() async throws -> RedisConfiguration {
        if let uri = getenv("EVENTBUS_TEST_REDIS_URL") { return try RedisConfiguration(uri: String(cString: uri)) }
        return try await server.value.configuration
    }

    static func client() async throws -> RedisClient {
        try await RedisClient(configuration(), logger: .silent)
    }
}

func freePort() throws -> Int {
    for _ in 0..<100 {
        let port = Int.random(in: 20_000..<32_000)
        let listener = try RawListener(port: port)
        if listener != nil { return port }
    }
    throw EventBusError(.unavailable, "no free port")
}
