import ConnectionThread
import EventBus

/// A connection for short work that may end its connection, which must not be the one on which events are consumed. It
/// is shared, and closed when it has not been used for a while.
actor SideConnection {
    /// The time after which an unused connection is closed.
    private static let idleTime = Duration.seconds(3)

    private let configuration: RabbitConfiguration
    private let thread: ConnectionThread
    private let watch: SendTimeoutMonitor
    private let role: String
    private var opening: Task<Result<RabbitConnection, AMQPFailure>, Never>?
    private var users = 0
    /// A number that grows with every use, so that an idle timer recognizes an outdated period.
    private var uses = 0
    private var isEnded = false

    init(configuration: RabbitConfiguration, thread: ConnectionThread, watch: SendTimeoutMonitor, role: String) {
        self.configuration = configuration
        self.thread = thread
        self.watch = watch
        self.role = role
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Calls `body` with the connection. If it ends meanwhile, `body` is called once more with a connection that it does
    /// not share, because other work may have ended the first one.
    nonisolated func use<Value: Sendable>(_ body: (RabbitConnection) async throws -> Value) async throws -> Value {
        do {
            return try await use(await shared(), body)
        } catch let failure as AMQPFailure where !failure.isChannelOnly {
            let connection = try await open()
            do {
                let value = try await body(connection)
                await connection.close()
                return value
            } catch {
                await connection.close()
                throw error
            }
        }
    }

    private nonisolated func use<Value: Sendable>(
        _ connection: RabbitConnection,
        _ body: (RabbitConnection) async throws -> Value
    ) async throws -> Value {
        do {
            let value = try await body(connection)
            await release()
            return value
        } catch {
            await release()
            throw error
        }
    }

    private func shared() async throws(AMQPFailure) -> RabbitConnection {
        users += 1
        uses += 1
        do throws(AMQPFailure) {
            let known = opening
            if let connection = try? await known?.value.get(), await connection.isOpen { return connection }
            // Another caller may have noticed the end first.
            let task = opening == known ? Task { await self.openResult() } : opening ?? Task { await self.openResult() }
            opening = task
            return try await task.value.get()
        } catch {
            release()
            throw error
        }
    }

    private func release() {
        users -= 1
        guard users == 0 else { return }
        let use = uses
        thread.schedule(at: .now.advanced(by: Self.idleTime)) { [weak self] in
            self?.assumeIsolated { side in
                guard side.users == 0, side.uses == use else { return }
                side.drop()
            }
        }
    }

    private func drop() {
        guard let opening else { return }
        self.opening = nil
        Task { try? await opening.value.get().close() }
    }

    /// Closes the connection. A later use fails.
    func end() {
        isEnded = true
        opening?.cancel()
        drop()
    }

    private func openResult() async -> Result<RabbitConnection, AMQPFailure> {
        do throws(AMQPFailure) {
            return .success(try await open())
        } catch {
            return .failure(error)
        }
    }

    private func open() async throws(AMQPFailure) -> RabbitConnection {
        var failure = AMQPFailure(.connectFailed, "no host")
        for host in configuration.hosts.shuffled() {
            guard !isEnded else { throw AMQPFailure(.closedByUs, "the transport was shut down") }
            do throws(AMQPFailure) {
                return try await .open(configuration, at: host, role: role, thread: thread, watch: watch)
            } catch {
                failure = error
            }
        }
        throw failure
    }
}
