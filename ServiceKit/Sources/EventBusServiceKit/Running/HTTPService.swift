import Glibc
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import SystemPackage

/// The HTTP server of a service.
struct HTTPService: Service {
    /// The time after which a silent connection is closed.
    static let idleTimeout = TimeAmount.seconds(75)

    let responder: RouterResponder<ServiceRequestContext>
    let options: ServiceOptions
    let logger: Logger

    /// The maximum number of connections. Half of the descriptors are left for the broker, Redis, the database and
    /// files, because a process without descriptors can neither accept a connection nor reconnect.
    var connectionLimit: Int {
        min(options.maximumConnections, max(1, Self.descriptorLimit() / 2))
    }

    /// Returns the number of descriptors that the process may have.
    static func descriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Listens and serves requests until it is asked to stop, then completes the started responses.
    ///
    /// - Throws: ``ServiceFailure`` if it cannot listen.
    func run() async throws {
        let (host, port) = (options.host, options.port)
        let isListening = Atomic(false)
        let server = Application(
            responder: responder,
            server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                backlog: 1024,
                availableConnectionsDelegate: .maximum(connectionLimit, logger: logger.ofLibrary)
            ),
            onServerRunning: { [logger] channel in
                isListening.store(true, ordering: .relaxed)
                // A caller that started the process with port 0 learns the port from this message.
                logger.info(
                    "listening",
                    metadata: ["host": "\(host)", "port": "\(channel.localAddress?.port ?? port)"]
                )
            },
            logger: logger.ofLibrary
        )
        do {
            try await server.run()
        } catch let error as CancellationError {
            throw error
        } catch  where !isListening.load(ordering: .relaxed) {
            let reason = (error as? IOError).map { "\(Errno(rawValue: $0.errnoCode))" } ?? "\(error)"
            throw ServiceFailure("cannot listen on \(host):\(port): \(reason)")
        }
    }
}
