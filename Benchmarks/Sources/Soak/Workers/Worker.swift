import EventBus
import EventBusRabbit
import EventBusRedis
import Glibc
import Logging
import SoakAudit
import Synchronization

/// A Boolean value indicating whether the process was asked to end.
private let isStopping = Atomic(false)

/// A process that publishes, consumes or locks, and records what happens.
///
/// Its name is its role and a number, such as `publisher-1`.
struct Worker: Sendable {
    let name: String
    let settings: WorkerSettings
    let ledger: LedgerWriter
    let logger: Logger

    /// Runs the worker with this name until the process gets SIGTERM.
    static func run(name: String, settingsFile: String) async throws {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGTERM) { _ in isStopping.store(true, ordering: .relaxed) }
        let parent = getppid()
        Task {
            // A worker never outlives its coordinator.
            while getppid() == parent { try await Task.sleep(for: .seconds(1)) }
            _exit(3)
        }
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        var logger = Logger(label: name)
        logger.logLevel = .notice
        let settings = try WorkerSettings(file: settingsFile)
        let worker = Worker(
            name: name,
            settings: settings,
            ledger: try LedgerWriter(file: settings.ledgerFile(of: name)),
            logger: logger
        )
        switch worker.role {
        case "publisher": try await worker.publish()
        case "lock": try await worker.lock()
        default: try await worker.consume()
        }
        worker.ledger.record(.ended)
    }

    /// The worker's role, which is the beginning of its name.
    var role: String { String(name.prefix { $0 != "-" }) }
    /// The number at the end of its name.
    var number: Int { Int(name.drop { $0 != "-" }.dropFirst()) ?? 0 }

    /// A Boolean value indicating whether the process was asked to end.
    static var mustStop: Bool { isStopping.load(ordering: .relaxed) }

    /// Waits until the process is asked to end.
    static func waitForStop() async throws {
        while !mustStop { try await Task.sleep(for: .milliseconds(20)) }
    }

    /// Returns the transport of this worker. The losses of its connections and consumers are recorded.
    func transport() throws -> RabbitTransport {
        let file = settings.passwordFile
        var rabbit = RabbitConfiguration(
            host: .init("127.0.0.1", port: settings.rabbitPort),
            credentials: .init(user: "soak", password: "")
        )
        rabbit.credentialsProvider = {
            .init(user: "soak", password: String(decoding: readFile(file), as: UTF8.self))
        }
        rabbit.heartbeat = .seconds(5)
        rabbit.clientName = name
        let transport = try RabbitTransport(rabbit, logger: logger)
        let events = transport.events()
        let ledger = ledger
        Task {
            for await event in events where event.kind == .disconnected || event.kind == .consumerDetached {
                ledger.record(.disconnected)
            }
        }
        return transport
    }

    /// Returns a client of Redis.
    func redis() throws -> RedisClient {
        let uri = "redis://default:\(settings.redisPassword)@127.0.0.1:\(settings.redisPort)"
        return try RedisClient(try RedisConfiguration(uri: uri), logger: logger)
    }
}
