import ConnectionThread
import EventBus

/// The user of the publish connection, which declares shared objects and keeps every publisher on a channel.
struct PublishConnectionHandler: Sendable {
    let publisher: RabbitPublisher
    let replies: RabbitPublisher
    let republishes: RabbitPublisher
    let requests: RequestClient
    let managers: ConsumerManagers
    let health: ConnectionHealth
    let configuration: RabbitConfiguration
    let logger: BackgroundLogger

    /// Handles an event of the connection on its thread.
    func handle(_ event: ConnectionEvent) {
        switch event {
        case .blocked(let reason):
            health.setBlocked(.publish, reason: reason)
            setBlocked(true)
            logger.info("RabbitMQ blocks publishing", metadata: ["reason": "\(reason)"])
        case .unblocked:
            health.setBlocked(.publish, reason: nil)
            setBlocked(false)
            logger.info("RabbitMQ accepts events again")
        case .writable:
            // Retries and dead letters first, because a delivery and its handler wait for each.
            republishes.assumeIsolated { $0.becameWritable() }
            publisher.assumeIsolated { $0.becameWritable() }
            replies.assumeIsolated { $0.becameWritable() }
            requests.assumeIsolated { $0.becameWritable() }
        }
    }

    private func setBlocked(_ isBlocked: Bool) {
        publisher.assumeIsolated { $0.setBlocked(isBlocked) }
        replies.assumeIsolated { $0.setBlocked(isBlocked) }
        republishes.assumeIsolated { $0.setBlocked(isBlocked) }
        requests.assumeIsolated { $0.setBlocked(isBlocked) }
    }

    /// Passes the reason why there is no connection to waiting callers.
    func note(_ failure: AMQPFailure) async {
        for publisher in [publisher, replies, republishes] { await publisher.note(failure) }
        await requests.note(failure)
    }

    /// Publishes over a connection until it ends, and returns the reason.
    func serve(_ connection: RabbitConnection) async throws(EventBusError) -> AMQPFailure {
        do throws(AMQPFailure) {
            try await declareShared(on: connection)
            try await publisher.attach(to: connection)
            try await republishes.attach(to: connection)
            try await replies.attach(to: connection)
            try await requests.attach(to: connection)
        } catch {
            // If this service declares objects, a missing one was deleted meanwhile, and the next attempt declares it
            // again.
            if error.isPermanent || (error.code == AMQPFailure.notFound && configuration.declaration == .passive) {
                throw error.busError(while: "declaring the exchanges")
            }
            await connection.abort("the exchanges could not be declared: \(error)")
            return await connection.waitUntilClosed()
        }
        health.connected(.publish)
        let failure = await withTaskGroup(of: AMQPFailure?.self) { group in
            group.addTask {
                let failure = await connection.waitUntilClosed()
                for publisher in [publisher, replies, republishes] { await publisher.wakeProbeWaiters() }
                return failure
            }
            group.addTask {
                await keepAttached(connection)
                return nil
            }
            var failure: AMQPFailure?
            for await outcome in group { failure = outcome ?? failure }
            return failure
        }
        return failure ?? AMQPFailure(.connectionLost, "")
    }

    /// Keeps the channels open. A channel may fail without its connection, for example because an event was refused or
    /// its exchange deleted.
    private func keepAttached(_ connection: RabbitConnection) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await keep("publish", on: connection) {
                    await publisher.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await publisher.attach(to: connection)
                }
            }
            group.addTask {
                await keep("republish", on: connection) {
                    await republishes.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await republishes.attach(to: connection)
                }
            }
            group.addTask {
                await keep("reply", on: connection) {
                    await replies.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    try await replies.attach(to: connection)
                }
            }
            group.addTask {
                await keep("request", on: connection) {
                    await requests.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await requests.attach(to: connection)
                }
            }
            for publisher in [publisher, replies, republishes] {
                group.addTask {
                    await keep("second", on: connection) {
                        await publisher.waitUntilProbeNeeded(on: connection)
                    } open: { () async throws(AMQPFailure) in
                        guard await publisher.isProbeNeeded else { return }
                        try await publisher.attachProbe(to: connection)
                    }
                }
            }
        }
    }

    /// Opens a channel whenever it is needed, until the connection has ended.
    private func keep(
        _ name: String,
        on connection: RabbitConnection,
        waitUntilWanted: @Sendable () async -> Void,
        open: @Sendable () async throws(AMQPFailure) -> Void
    ) async {
        var failures = 0
        let clock = ContinuousClock()
        var opened = clock.now
        while await connection.isOpen {
            await waitUntilWanted()
            guard await connection.isOpen else { return }
            // A channel that was open for a while resets the count.
            if opened.duration(to: clock.now) > ReconnectStateMachine.stableAfter { failures = 0 }
            await pause(failures)
            failures += 1
            do throws(AMQPFailure) {
                try await open()
            } catch {
                guard await connection.isOpen else { return }
                logger.info("could not open the \(name) channel", metadata: ["reason": "\(error)"])
            }
            opened = clock.now
        }
    }

    private func pause(_ failures: Int) async {
        guard failures > 0 else { return }
        let bound = min(Duration.milliseconds(10) * (1 << min(failures, 8)), .seconds(2))
        try? await Task.sleep(for: bound * Double.random(in: 0.5...1))
    }

    /// Declares shared objects again. If one is still missing, its publishers get an error, and the others continue.
    private func declareSharedAgain(on connection: RabbitConnection) async {
        do throws(AMQPFailure) {
            try await declareShared(on: connection)
            // A deleted exchange has lost its bindings, and queues may be missing as well.
            _ = await managers.declareAgain("a channel was closed by the broker")
        } catch {
            logger.info("shared objects are missing on the broker", metadata: ["reason": "\(error)"])
        }
    }

    private func declareShared(on connection: RabbitConnection) async throws(AMQPFailure) {
        let plan = TopologyPlan(configuration)
        if configuration.declaration == .active {
            do throws(AMQPFailure) {
                return try await call(plan.shared, on: connection)
            } catch {
                guard error.kind == .channelClosed(AMQPFailure.accessRefused) else { throw error }
                logger.info(
                    "no permission to declare; checking that the objects exist",
                    metadata: ["reason": "\(error)"]
                )
                do throws(AMQPFailure) {
                    return try await call(plan.sharedCheck, on: connection)
                } catch let missing {
                    throw missing.code == AMQPFailure.notFound ? error : missing
                }
            }
        }
        try await call(plan.sharedCheck, on: connection)
    }

    private func call(_ calls: [AMQPCall], on connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { _ in }
        try await connection.call(calls, on: channel)
        await connection.closeChannel(channel)
    }
}
