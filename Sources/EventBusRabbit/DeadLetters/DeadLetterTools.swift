import ConnectionThread
import EventBus
import Synchronization

/// The shared connection of the dead-letter tools. It is separate, so that problems affect no consumer, and it is
/// closed when it has not been used for a while.
actor DeadLetterTools {
    /// The time after which an unused connection is closed.
    private static let idleTime = Duration.seconds(3)
    /// The maximum time for which the end of the transport waits for passes to settle what they have in hand.
    private static let endingTime = Duration.seconds(2)

    nonisolated let configuration: RabbitConfiguration
    nonisolated let managers: ConsumerManagers
    nonisolated let publisher: RabbitPublisher
    nonisolated let logger: BackgroundLogger
    private let watch: SendTimeoutMonitor
    private var connection: RabbitConnection?
    private var opening: Task<Result<RabbitConnection, AMQPFailure>, Never>?
    private var isEnded = false
    private nonisolated let isEndingNow = Atomic(false)
    private var endTask: Task<Void, Never>?
    private var users = 0
    private var lastUserWaiter: CheckedContinuation<Void, Never>?
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
        guard !isEnded else { throw Self.ended }
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
                throw Self.ended
            }
            connection = fresh
            return fresh
        } catch {
            left()
            throw error
        }
    }

    private func left() {
        users -= 1
        if users == 0 { wakeLastUserWaiter() }
    }

    private func release() {
        left()
        guard users == 0, !isEnded else { return }
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

    private static let ended = AMQPFailure(.closedByUs, "the transport was shut down")

    /// A Boolean value indicating whether the transport ends, so that passes have to stop.
    nonisolated var isEnding: Bool { isEndingNow.load(ordering: .relaxed) }

    /// Throws if the transport ends.
    nonisolated func checkRunning() throws(EventBusError) {
        if isEnding { throw EventBusError(.shuttingDown, "the transport was shut down") }
    }

    /// Closes the connection, because the transport ends, as soon as passes have settled what they have in hand. Calls that
    /// wait for a silent broker fail. All callers wait for the end.
    func end() async {
        let task = endTask ?? Task { await closeAtEnd() }
        endTask = task
        await task.value
    }

    private func closeAtEnd() async {
        isEnded = true
        isEndingNow.store(true, ordering: .relaxed)
        opening?.cancel()
        if users > 0 {
            let timer = Task { [weak self] in
                try? await Task.sleep(for: Self.endingTime)
                await self?.wakeLastUserWaiter()
            }
            await withCheckedContinuation { lastUserWaiter = $0 }
            timer.cancel()
        }
        guard let connection else { return }
        self.connection = nil
        await connection.close()
    }

    private func wakeLastUserWaiter() {
        lastUserWaiter?.resume()
        lastUserWaiter = nil
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
