import ConnectionThread
import EventBus
import Logging

/// Uses the publish connection: declares what all share, and keeps both lanes on a channel.
struct PublishSide: Sendable {
    let lane: PublishLane
    let requests: RequestLane
    let board: HealthBoard
    let configuration: RabbitConfiguration
    let logger: Logger

    /// What happens to the connection, on its thread.
    func handle(_ event: ConnectionEvent) {
        switch event {
        case .blocked(let reason):
            board.setBlocked(.publish, reason: reason)
            setBlocked(true)
            logger.warning("RabbitMQ takes no events at present", metadata: ["reason": "\(reason)"])
        case .unblocked:
            board.setBlocked(.publish, reason: nil)
            setBlocked(false)
            logger.info("RabbitMQ takes events again")
        case .writable:
            lane.assumeIsolated { $0.becameWritable() }
            requests.assumeIsolated { $0.becameWritable() }
        }
    }

    private func setBlocked(_ isBlocked: Bool) {
        lane.assumeIsolated { $0.setBlocked(isBlocked) }
        requests.assumeIsolated { $0.setBlocked(isBlocked) }
    }

    /// Publishes over a connection until it ends, and says why it did.
    func serve(_ connection: RabbitConnection) async throws(EventBusError) -> AMQPFailure {
        do throws(AMQPFailure) {
            try await declareShared(on: connection)
            try await lane.attach(to: connection)
            try await requests.attach(to: connection)
        } catch {
            if error.isPermanent || error.code == AMQPFailure.notFound {
                throw error.busError(while: "declaring the exchanges")
            }
            await connection.abort("the exchanges could not be declared: \(error)")
            return await connection.waitUntilClosed()
        }
        board.connected(.publish)
        let failure = await withTaskGroup(of: AMQPFailure?.self) { group in
            group.addTask { await connection.waitUntilClosed() }
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

    /// A channel may fail without its connection, as when the exchange was deleted.
    private func keepAttached(_ connection: RabbitConnection) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var failures = 0
                while await connection.isOpen {
                    await lane.waitUntilDetached()
                    guard await connection.isOpen else { return }
                    await pause(&failures)
                    do throws(AMQPFailure) {
                        try await declareShared(on: connection)
                        try await lane.attach(to: connection)
                    } catch {
                        logger.warning("the publish channel could not be opened", metadata: ["reason": "\(error)"])
                    }
                }
            }
            group.addTask {
                var failures = 0
                while await connection.isOpen {
                    await requests.waitUntilDetached()
                    guard await connection.isOpen else { return }
                    await pause(&failures)
                    do throws(AMQPFailure) {
                        try await requests.attach(to: connection)
                    } catch {
                        logger.warning("the request channel could not be opened", metadata: ["reason": "\(error)"])
                    }
                }
            }
        }
    }

    private func pause(_ failures: inout Int) async {
        failures += 1
        let bound = min(Duration.milliseconds(20) * (1 << min(failures, 8)), .seconds(2))
        try? await Task.sleep(for: bound * Double.random(in: 0.5...1))
    }

    private func declareShared(on connection: RabbitConnection) async throws(AMQPFailure) {
        let plan = TopologyPlan(configuration)
        if configuration.declaration == .active {
            do throws(AMQPFailure) {
                return try await call(plan.shared, on: connection)
            } catch {
                guard error.kind == .channelClosed(AMQPFailure.accessRefused) else { throw error }
                logger.info("no right to declare; checking what is there", metadata: ["reason": "\(error)"])
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
