import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// The HTTP server of a service.
struct HTTPService: Service {
    /// The time after which a silent connection is closed.
    static let idleTimeout = TimeAmount.seconds(75)

    let responder: RouterResponder<ServiceRequestContext>
    let options: CommonOptions
    let logger: Logger

    /// Listens and serves requests until it is asked to stop, then completes the started responses.
    ///
    /// - Throws: ``ServiceFailure`` if it cannot listen.
    func run() async throws {
        let (host, port) = (options.host, options.port)
        let isListening = Atomic(false)
        let server = Application(
            responder: responder,
            server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), backlog: 1024),
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
            let reason = (error as? IOError).map { SystemError.text($0.errnoCode) } ?? "\(error)"
            throw ServiceFailure("cannot listen on \(host):\(port): \(reason)")
        }
    }
}
