import ConnectionThread
import EventBus

/// The user of the publish connection, which declares shared objects and keeps every publisher on a channel.
struct PublishConnectionHandler: Sendable {
    let publisher: RabbitPublisher
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
            requests.assumeIsolated { $0.becameWritable() }
        }
    }

    private func setBlocked(_ isBlocked: Bool) {
        publisher.assumeIsolated { $0.setBlocked(isBlocked) }
        republishes.assumeIsolated { $0.setBlocked(isBlocked) }
        requests.assumeIsolated { $0.setBlocked(isBlocked) }
    }

    /// Passes the reason why there is no connection to waiting callers.
    func note(_ failure: AMQPFailure) async {
        for publisher in [publisher, republishes] { await publisher.note(failure) }
        await requests.note(failure)
    }

    /// Publishes over a connection until it ends, and returns the reason.
    func serve(_ connection: RabbitConnection) async throws(EventBusError) -> AMQPFailure {
        do throws(AMQPFailure) {
            try await declareShared(on: connection)
            try await publisher.attach(to: connection)
            try await republishes.attach(to: connection)
            try await requests.attach(to: connection)
        } catch {
            // If this service declares objects, a missing one was deleted meanwhile, and the next attempt declares it
            // again.
            if error.isPermanent || (error.code == AMQPFailure.notFound && configuration.declaration == .passive) {
                let isPassive = configuration.declaration == .passive
                throw error.busError(while: isPassive ? "checking the exchanges" : "declaring the exchanges")
            }
            await connection.abort("the exchanges could not be declared: \(error)")
            return await connection.waitUntilClosed()
        }
        health.connected(.publish)
        let failure = await withTaskGroup(of: AMQPFailure?.self) { group in
            group.addTask {
                let failure = await connection.waitUntilClosed()
                for publisher in [publisher, republishes] { await publisher.wakeProbeWaiters() }
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
        let keeper = ChannelKeeper(logger: logger)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await keeper.keep("publish", on: connection) {
                    await publisher.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await publisher.attach(to: connection)
                }
            }
            group.addTask {
                await keeper.keep("republish", on: connection) {
                    await republishes.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await republishes.attach(to: connection)
                }
            }
            group.addTask {
                await keeper.keep("request", on: connection) {
                    await requests.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    await declareSharedAgain(on: connection)
                    try await requests.attach(to: connection)
                }
            }
            for publisher in [publisher, republishes] {
                group.addTask { await keeper.keepSecond(of: publisher, on: connection) }
            }
        }
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
        if configuration.checksSharedObjects { try await call(plan.sharedCheck, on: connection) }
    }

    private func call(_ calls: [AMQPCall], on connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { _ in }
        try await connection.call(calls, on: channel)
        await connection.closeChannel(channel)
    }
}
