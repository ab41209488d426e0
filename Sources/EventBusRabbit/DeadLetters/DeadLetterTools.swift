import ConnectionThread
import EventBus

/// The shared connection of the dead-letter tools. It is separate, so that problems affect no consumer, and it is
/// closed when it has not been used for a while.
actor DeadLetterTools {
    /// The time after which an unused connection is closed.
    private static let idleTime = Duration.seconds(3)

    nonisolated let configuration: RabbitConfiguration
    nonisolated let managers: ConsumerManagers
    nonisolated let publisher: RabbitPublisher
    nonisolated let logger: BackgroundLogger
    private let watch: SendTimeoutMonitor
    private var connection: RabbitConnection?
    private var opening: Task<Result<RabbitConnection, AMQPFailure>, Never>?
    private var isEnded = false
    private var users = 0
    /// A number that grows with every use, so that an idle timer recognizes an outdated period.
    private var uses = 0

    init(
        configuration: RabbitConfiguration,
        managers: ConsumerManagers,
        publisher: RabbitPublisher,
        watch: SendTimeoutMonitor,
        logger: BackgroundLogger
    ) {
        self.configuration = configuration
        self.managers = managers
        self.publisher = publisher
        self.watch = watch
        self.logger = logger
    }

    /// Calls `body` with the connection.
    nonisolated func withConnection<Value: Sendable>(
        _ body: (RabbitConnection) async throws -> Value
    ) async throws -> Value {
        // Throws the reason if the transport does not run or has no connection.
        try await managers.waitForConnection(until: .now.advanced(by: .seconds(10)))
        let connection = try await take()
        do {
            let value = try await body(connection)
            await release()
            return value
        } catch {
            await release()
            throw error
        }
    }

    private func take() async throws(AMQPFailure) -> RabbitConnection {
        guard !isEnded else { throw Self.ending }
        users += 1
        uses += 1
        do throws(AMQPFailure) {
            if let connection, await connection.isOpen { return connection }
            let task = opening ?? Task { await Self.open(configuration, watch) }
            opening = task
            let result = await task.value
            opening = nil
            let fresh = try result.get()
            guard !isEnded else {
                await fresh.close()
                throw Self.ending
            }
            connection = fresh
            return fresh
        } catch {
            users -= 1
            throw error
        }
    }

    private func release() {
        users -= 1
        guard users == 0 else { return }
        let use = uses
        Task { [weak self] in
            try? await Task.sleep(for: Self.idleTime)
            await self?.close(ifIdleSince: use)
        }
    }

    private func close(ifIdleSince use: Int) async {
        guard users == 0, uses == use, let connection else { return }
        self.connection = nil
        await connection.close()
    }

    private static let ending = AMQPFailure(.closedByUs, "the transport was shut down")

    /// Closes the connection, because the transport ends. Calls that wait for the broker fail.
    func end() async {
        isEnded = true
        opening?.cancel()
        guard let connection else { return }
        self.connection = nil
        await connection.close()
    }

    private static func open(
        _ configuration: RabbitConfiguration,
        _ watch: SendTimeoutMonitor
    ) async -> Result<RabbitConnection, AMQPFailure> {
        var failure = AMQPFailure(.connectFailed, "no host")
        for host in configuration.hosts.shuffled() {
            do {
                let connection = try RabbitConnection(
                    handle: try await LoginThread.logIn(
                        configuration,
                        host,
                        role: "dead-letters",
                        frameReserve: AMQPHandle.largeFrameReserve
                    ),
                    number: 0,
                    thread: try ConnectionThread(
                        name: "eventbus-dead",
                        stackSize: AMQPHandle.largeFrameStackSize
                    ),
                    watch: watch,
                    isTLS: configuration.tls != nil,
                    maximumBodySize: configuration.maximumBodySize,
                    callTimeout: configuration.commandTimeout,
                    onEvent: { _ in }
                )
                await connection.start()
                return .success(connection)
            } catch {
                failure = error as? AMQPFailure ?? AMQPFailure(.connectFailed, "\(error)")
            }
        }
        return .failure(failure)
    }
}
