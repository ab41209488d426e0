import ConnectionThread
import EventBus
import Logging

/// The watch over consumers: those that stay connected and receive nothing are found here.
extension ConsumerHub {
    /// Asks the broker, one queue at a time, whether our queues have consumers, and our channels whether they live.
    func watchConsumers(on connection: RabbitConnection) async {
        var channel: UInt16 = 0
        var lastChecked: UInt64 = 0
        var checks = 0
        var nextAgeCheck = MonotonicTime.now
        while await connection.isOpen {
            await pauseWatch()
            guard await connection.isOpen else { return }
            if MonotonicTime.now >= nextAgeCheck {
                nextAgeCheck = .now.advanced(by: .seconds(60))
                for session in sessions.values { warnOfOldDeliveries(session) }
            }
            checks += 1
            // Also without a subscription: whoever schedules events needs to know of those that nobody gets.
            if checks % 10 == 1 {
                do throws(AMQPFailure) { try await countUnroutableDelays(connection) } catch { return }
            }
            let ids = sessions.filter { $0.value.phase == .attached }.keys.sorted()
            guard let id = ids.first(where: { $0 > lastChecked }) ?? ids.first, let session = sessions[id] else {
                continue
            }
            lastChecked = id
            let generation = session.generation
            do throws(AMQPFailure) {
                try await bindAgain(session, on: connection)
                if channel == 0 { channel = try await connection.openChannel { _ in } }
                let reply = try await connection.call(
                    .queueDeclare(QueueDeclaration(name: session.queueName, isPassive: true)),
                    on: channel
                )
                guard case .queue(_, let messages, let consumers) = reply, session.generation == generation else {
                    continue
                }
                board.setBacklog(id, messages: messages, consumers: consumers)
                session.sightingsWithoutConsumer = consumers == 0 ? session.sightingsWithoutConsumer + 1 : 0
                if session.sightingsWithoutConsumer >= 2 {
                    // It may have forgotten the consumer; or it does not reach the queue, which looks the same.
                    session.isSuspect = true
                    reattach(session, "the broker knows no consumer of the queue")
                }
                // The channel's own sign of life: a dead one fails the call, or the connection at its timeout.
                guard session.phase == .attached, session.generation == generation else { continue }
                let prefetch = UInt16(clamping: max(1, session.consumer.specification.prefetch))
                _ = try? await connection.call(.basicQos(prefetch: prefetch), on: session.channel)
            } catch {
                channel = 0
                guard error.isChannelOnly else { return }
                if session.generation == generation, error.code == AMQPFailure.notFound {
                    session.sightingsWithoutConsumer += 1
                    if session.sightingsWithoutConsumer >= 2 { reattach(session, "the queue is gone") }
                }
            }
        }
    }

    /// Delayed events whose queue was gone at the end of their delay.
    ///
    /// On a channel of its own: that the queue is missing says nothing of the one that is asked for next.
    func countUnroutableDelays(_ connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { _ in }
        let queue = QueueDeclaration(name: TopologyNames.delayUnroutable, isPassive: true)
        do throws(AMQPFailure) {
            if case .queue(_, let messages, _) = try await connection.call(.queueDeclare(queue), on: channel) {
                board.setUnroutableDelays(messages)
            }
        } catch {
            guard error.isChannelOnly else { throw error }
            return logger.info(
                "the delayed events that found no queue cannot be counted",
                metadata: ["reason": "\(error)"]
            )
        }
        await connection.closeChannel(channel)
    }

    /// Binds a queue again now and then: an exchange that was deleted took the bindings along, and the broker tells nobody.
    ///
    /// On a channel of its own: that the exchange is missing says nothing of the queue.
    func bindAgain(_ session: ConsumerSession, on connection: RabbitConnection) async throws(AMQPFailure) {
        let isDue = MonotonicTime.now >= session.boundAt.advanced(by: configuration.consumerCheckInterval * 10)
        guard configuration.declaration == .active, isDue else { return }
        session.boundAt = .now
        let channel = try await connection.openChannel { _ in }
        do throws(AMQPFailure) {
            try await connection.call(
                plan.bindings(session.consumer.specification, name: session.queueName),
                on: channel
            )
        } catch {
            guard error.isChannelOnly else { throw error }
            return logger.info(
                "a queue could not be bound again",
                metadata: ["queue": "\(session.queueName)", "reason": "\(error)"]
            )
        }
        await connection.closeChannel(channel)
    }

    /// A broker closes the channel of a delivery that is unsettled for its consumer timeout, half an hour by default:
    /// one that is being handled, and also one that was prefetched and waits.
    func warnOfOldDeliveries(_ session: ConsumerSession) {
        guard let late = session.consumer.takeHeldTooLong(since: .now, limit: .seconds(24 * 60)) else { return }
        logger.warning(
            "deliveries are unsettled for 24 minutes; after 30 the broker closes their channel and redelivers all",
            metadata: ["queue": "\(session.queueName)", "deliveries": "\(late.count)", "oldest": "\(late.oldest)"]
        )
    }

    /// Waits until the next check is due, or the connection has ended.
    func pauseWatch() async {
        let timer = thread.schedule(at: .now.advanced(by: configuration.consumerCheckInterval)) { [weak self] in
            self?.assumeIsolated { $0.wakeWatch() }
        }
        await withCheckedContinuation { watchWaiter = $0 }
        thread.cancel(timer)
    }

    func wakeWatch() {
        let waiter = watchWaiter
        watchWaiter = nil
        waiter?.resume()
    }

    func reattach(_ session: ConsumerSession, _ reason: String) {
        logger.info(
            "a consumer is attached again",
            metadata: ["queue": "\(session.queueName)", "reason": "\(reason)"]
        )
        let channel = session.channel
        detached(session, AMQPFailure(.channelClosed(0), reason))
        session.wake()
        connection?.assumeIsolated { $0.closeChannelWithoutWaiting(channel) }
    }

    func report(_ session: ConsumerSession) {
        board.setConsumer(
            session.consumer.id,
            name: session.consumer.specification.queueName,
            isAttached: session.phase == .attached,
            isStopped: session.phase == .stopped,
            lastFailure: session.lastFailure
        )
    }
}
