import ConnectionThread
import EventBus

/// The watch over consumers, which finds those that stay connected and receive nothing.
extension ConsumerManager {
    /// Asks the broker, one queue at a time, whether the service's queues have consumers and its channels are alive,
    /// and at intervals whether the exchanges and queues exist that no consumer watches.
    func watchConsumers(on connection: RabbitConnection) async {
        var channel: UInt16 = 0
        var lastChecked: UInt64 = 0
        var latestKept: (consumer: UInt64, isMissing: Bool) = (0, false)
        var checks = 0
        var nextAgeCheck = MonotonicTime.now
        var nextBinding = MonotonicTime.now.advanced(by: bindingInterval(connection))
        // Sessions declare their own queues on each connection.
        await declareKept(on: connection)
        while await connection.isOpen {
            await pauseWatch()
            guard await connection.isOpen else { return }
            if MonotonicTime.now >= nextAgeCheck {
                nextAgeCheck = .now.advanced(by: .seconds(60))
                for session in sessions.values { warnOfOldDeliveries(session) }
            }
            await checkKept(after: &latestKept, on: connection)
            checks += 1
            do throws(AMQPFailure) {
                if channel == 0 { channel = try await connection.openChannel { _ in } }
                if checks % Self.checksBetweenObjects == 1 { try await checkObjects(connection, channel) }
            } catch {
                channel = 0
                guard error.isChannelOnly else { return }
                guard error.code == AMQPFailure.notFound else { continue }
                _ = await declareAgain(error.text)
                continue
            }
            // A refusal is tried again soon, because health names it until it has ended.
            if checks % Self.checksBetweenObjects == 1, MonotonicTime.now >= nextBinding || unbound != nil {
                nextBinding = .now.advanced(by: bindingInterval(connection))
                await bindAgain(on: connection)
            }
            let ids = sessions.filter { $0.value.phase == .attached }.keys.sorted()
            guard let id = ids.first(where: { $0 > lastChecked }) ?? ids.first, let session = sessions[id] else {
                continue
            }
            lastChecked = id
            let generation = session.generation
            do throws(AMQPFailure) {
                let reply = try await connection.call(
                    .queueDeclare(QueueDeclaration(name: session.queueName, isPassive: true)),
                    on: channel
                )
                guard case .queue(_, let messages, let consumers) = reply, session.generation == generation else {
                    continue
                }
                if messages > 0 || consumers > 0 {
                    health.setBacklog(id, messages: messages, consumers: consumers, age: session.latestAge)
                    session.sightingsWithoutAnswer = 0
                    session.sightingsWithoutConsumer = consumers == 0 ? session.sightingsWithoutConsumer + 1 : 0
                } else {
                    // This is no answer, because the broker gives it also for a queue whose leader does not answer in
                    // time.
                    session.sightingsWithoutAnswer += 1
                }
                if session.sightingsWithoutConsumer >= 2, plan.isForeign(session.consumer.specification),
                    await isStream(session.queueName)
                {
                    refuseStream(session)
                } else if session.sightingsWithoutConsumer >= 2, session.generation == generation {
                    // The broker may have forgotten the consumer, or it does not reach the queue, which looks the same.
                    session.isSuspect = true
                    reattach(session, "the broker knows no consumer of the queue")
                } else if session.sightingsWithoutAnswer >= 2, !session.consumer.specification.broadcast {
                    session.sightingsWithoutAnswer = 0
                    await findOut(session)
                }
                guard session.phase == .attached, session.generation == generation else { continue }
                if !session.consumer.specification.broadcast {
                    let due = QueueDeclaration(name: TopologyNames.dueQueue(of: session.queueName), isPassive: true)
                    _ = try await connection.call(.queueDeclare(due), on: channel)
                }
                // A sign of life of the channel: a dead one fails the call, or the connection at its timeout.
                let prefetch = UInt16(clamping: max(1, session.prefetch))
                _ = try? await connection.call(.basicQos(prefetch: prefetch), on: session.channel)
            } catch {
                channel = 0
                guard error.isChannelOnly else { return }
                guard session.generation == generation, error.code == AMQPFailure.notFound else { continue }
                if error.text.contains(TopologyNames.dueQueue(of: session.queueName)) {
                    _ = await declareAgain(error.text)
                } else {
                    session.sightingsWithoutConsumer += 1
                    guard session.sightingsWithoutConsumer >= 2 else { continue }
                    session.hasLostQueue = true
                    keepUnsettled(of: session)
                    reattach(session, "the queue is gone")
                }
            }
        }
    }

    /// Checks a queue that does not answer on a separate connection. A queue without a leader cannot be consumed there.
    /// If the leader was only slow, the consumer is kept. If the broker has forgotten it, that becomes visible as soon
    /// as events wait for it.
    private func findOut(_ session: ConsumerSession) async {
        let generation = session.generation
        let trial = QueueProbe(configuration: configuration, thread: thread, watch: watch)
        do throws(AMQPFailure) {
            try await trial.run(session.queueName)
        } catch {
            guard session.generation == generation, session.phase == .attached, error.isQueueDown else { return }
            session.isSuspect = true
            reattach(session, "the queue does not answer")
        }
    }

    /// The objects are checked in every fifth check.
    private static let checksBetweenObjects = 5

    /// Checks the shared exchanges, the dead letters of the service's groups and the delay levels, without writing
    /// anything.
    private func checkObjects(_ connection: RabbitConnection, _ channel: UInt16) async throws(AMQPFailure) {
        var calls = plan.sharedCheck
        let groups = groups
        for group in groups { calls += plan.deadLettersCheck(of: group) }
        let replies = try await connection.call(calls, on: channel)
        health.setMissing("topology", nil)
        for case .queue(TopologyNames.delayUnroutable, let messages, _) in replies {
            health.setUnroutableDelays(messages)
            missedDelays.sighted(messages)
        }
        for (group, reply) in zip(groups, replies.suffix(groups.count)) {
            guard case .queue(_, let messages, let consumers) = reply else { continue }
            health.setDeadLetters(messages, consumers: consumers, of: group)
        }
    }

    /// Warns of old deliveries, because a broker closes the channel of a delivery that is unsettled for its consumer
    /// timeout, half an hour by default. That includes deliveries that are being handled and prefetched ones that wait.
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
            "consumer attached again",
            metadata: ["queue": "\(session.queueName)", "reason": "\(reason)"]
        )
        let channel = session.channel
        detached(session, AMQPFailure(.channelClosed(0), reason))
        session.wake()
        connection?.assumeIsolated { $0.closeChannelWithoutWaiting(channel) }
    }

    func report(_ session: ConsumerSession) {
        health.setConsumer(
            session.consumer.id,
            name: session.consumer.specification.queueName,
            isAttached: session.phase == .attached,
            isStopped: session.phase == .stopped || session.isSuspended,
            lastFailure: session.lastFailure
        )
    }
}
