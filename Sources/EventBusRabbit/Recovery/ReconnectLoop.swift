import ConnectionThread
import EventBus
import Synchronization

/// A loop that keeps one connection established. It connects, serves the connection until it ends, and starts again,
/// until it is cancelled.
struct ReconnectLoop: Sendable {
    let role: ConnectionHealth.Role
    let configuration: RabbitConfiguration
    let thread: ConnectionThread
    let watch: SendTimeoutMonitor
    let health: ConnectionHealth
    let logger: BackgroundLogger
    /// A closure that is called after each failed attempt with the reason.
    var onFailure: @Sendable (AMQPFailure) async -> Void = { _ in }

    /// Runs until cancelled.
    ///
    /// - Parameters:
    ///   - onEvent: A closure that is called on the connection's thread with events that concern the whole connection.
    ///   - serve: A closure that uses a connection until it ends. It throws errors that a new connection cannot fix.
    ///   - shutDown: A closure that closes a connection regularly after the loop is cancelled.
    /// - Throws: Errors that another attempt cannot fix.
    func run(
        onEvent: @escaping @Sendable (ConnectionEvent) -> Void,
        serve: @escaping @Sendable (RabbitConnection) async throws(EventBusError) -> AMQPFailure,
        shutDown: @escaping @Sendable (RabbitConnection) async -> Void
    ) async throws(EventBusError) {
        var machine = ReconnectStateMachine(
            hosts: configuration.hosts,
            reconnect: configuration.reconnect,
            wasConnected: health.wasConnected
        )
        var generator = SplitMix64(seed: .random(in: .min ... .max))
        var number: UInt64 = 0
        while !Task.isCancelled {
            switch machine.next(using: &generator) {
            case .wait(let duration):
                try? await Task.sleep(for: duration)
            case .connect(let host):
                number += 1
                let connection: RabbitConnection
                do throws(AMQPFailure) {
                    connection = try await connect(to: host, number: number, onEvent)
                } catch {
                    guard !Task.isCancelled else { return }
                    note(error)
                    await onFailure(error)
                    guard machine.failed(error) else { throw error.loginError(at: host, configuration) }
                    continue
                }
                let start = ContinuousClock.now
                logger.info(
                    "connected to RabbitMQ",
                    metadata: ["host": "\(host.name):\(host.port)", "role": "\(role.name)"]
                )
                do throws(EventBusError) {
                    let failure = try await use(connection, serve, shutDown)
                    machine.connected()
                    machine.lost(after: start.duration(to: .now))
                    health.disconnected(role, failure)
                    if !Task.isCancelled {
                        logger.info(
                            "lost the connection to RabbitMQ",
                            metadata: ["role": "\(role.name)", "reason": "\(failure)"]
                        )
                    }
                } catch {
                    await connection.close()
                    // An error that is permanent at the start may later be that of a partially available broker.
                    guard machine.wasConnected else { throw error }
                    health.disconnected(role, AMQPFailure(.closedByUs, error.message))
                    logger.info("RabbitMQ refuses operations that it accepted before", metadata: ["error": "\(error)"])
                    machine.lost(after: .zero)
                }
            }
        }
    }

    private func connect(
        to host: RabbitConfiguration.Host,
        number: UInt64,
        _ onEvent: @escaping @Sendable (ConnectionEvent) -> Void
    ) async throws(AMQPFailure) -> RabbitConnection {
        configuration.warnIfUnverified(host, logger)
        return try await .open(
            configuration,
            at: host,
            role: role.name,
            number: number,
            thread: thread,
            watch: watch,
            onEvent: onEvent
        )
    }

    private func use(
        _ connection: RabbitConnection,
        _ serve: @escaping @Sendable (RabbitConnection) async throws(EventBusError) -> AMQPFailure,
        _ shutDown: @escaping @Sendable (RabbitConnection) async -> Void
    ) async throws(EventBusError) -> AMQPFailure {
        let result = await withTaskGroup(of: Result<AMQPFailure, EventBusError>?.self) { group in
            group.addTask {
                await waitUntilCancelled()
                if await connection.isOpen { await shutDown(connection) }
                return nil
            }
            group.addTask {
                do throws(EventBusError) {
                    return .success(try await serve(connection))
                } catch {
                    return .failure(error)
                }
            }
            var result: Result<AMQPFailure, EventBusError>?
            for await outcome in group {
                result = outcome ?? result
                if result != nil { group.cancelAll() }
            }
            return result
        }
        return try result?.get() ?? AMQPFailure(.closedByUs, "closed")
    }

    private func note(_ failure: AMQPFailure) {
        health.disconnected(role, failure)
        logger.info(
            "cannot connect to RabbitMQ",
            metadata: ["role": "\(role.name)", "reason": "\(failure)"]
        )
    }
}

extension RabbitConfiguration {
    /// Logs that a connection about to be established does not verify the broker.
    func warnIfUnverified(_ host: Host, _ logger: BackgroundLogger) {
        guard tls?.insecureSkipsVerification == true else { return }
        logger.info(
            "TLS certificate verification is disabled: any server can impersonate the broker",
            metadata: ["host": "\(host.name)"]
        )
    }
}

/// Suspends until the task is cancelled.
func waitUntilCancelled() async {
    while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
}
