import ConnectionThread
import EventBus

/// Declaring the objects that consumers need, and declaring them again after an operator has deleted them. The evidence
/// is an event that matched no queue, a closed channel, or a failed passive declaration.
extension ConsumerManager {
    /// The time for which one declaration serves all evidence, because many deliveries detect a missing object at once.
    private static let restorationPause = Duration.milliseconds(200)
    /// The time after a failed declaration. An object that may not be declared stays missing until someone acts.
    private static let failurePause = Duration.seconds(1)

    /// Returns a Boolean value indicating whether an attached or paused subscription of this service requests a topic.
    nonisolated func expects(_ topic: String) -> Bool {
        guard let topic = try? Topic(validating: topic) else { return false }
        return wants { $0.patterns.contains { $0.matches(topic) } }
    }

    /// Returns a Boolean value indicating whether a queue belongs to an attached or paused subscription of this service.
    nonisolated func owns(_ queue: String) -> Bool {
        wants { !$0.broadcast && configuration.queueName(of: $0) == queue }
    }

    private nonisolated func wants(_ condition: (QueueSpecification) -> Bool) -> Bool {
        expected.withLock { $0.values.contains(where: condition) }
            || kept.withLock { $0.values.contains(where: condition) }
    }

    /// Returns a Boolean value indicating whether this service has a subscription of a group.
    func serves(_ group: String) -> Bool {
        groups.contains(group)
    }

    /// Declares everything that this service needs. Concurrent callers share one declaration.
    ///
    /// - Returns: `true` if everything exists now.
    func declareAgain(_ reason: String) async -> Bool {
        if let restoration { return await restoration.value }
        if let last = lastRestoration {
            let pause = last.isThere ? Self.restorationPause : Self.failurePause
            if last.time.duration(to: .now) < pause { return last.isThere }
        }
        guard let connection, ended == nil else { return false }
        logger.warning("declaring objects again that are missing on the broker", metadata: ["reason": reason])
        let task = Task { await self.restore(on: connection) }
        restoration = task
        let isThere = await task.value
        restoration = nil
        lastRestoration = (.now, isThere)
        if isThere {
            missedDelays.restored()
            restorations.yield(number)
        }
        return isThere
    }

    /// Ensures that the dead letters of a group have their queue. Concurrent callers share one declaration.
    ///
    /// - Returns: `true` if the queue exists. Otherwise a classic queue drops what it is told to dead-letter.
    func ensureDeadLetters(of group: String) async -> Bool {
        if let known = deadLetterChecks[group] { return await known.value }
        let task = Task { await self.declareDeadLetters(of: group) }
        deadLetterChecks[group] = task
        let isThere = await task.value
        deadLetterChecks[group] = nil
        return isThere
    }

    private func declareDeadLetters(of group: String) async -> Bool {
        let exchange = TopologyNames.deadLetterExchange
        let check =
            [.exchangeDeclare(name: exchange, type: "direct", isPassive: true)] + plan.deadLettersCheck(of: group)
        let declaration = [.exchangeDeclare(name: exchange, type: "direct")] + plan.deadLetters(of: group)
        for calls in configuration.declaration == .active ? [declaration, check] : [check] {
            guard let connection else { return false }
            do throws(AMQPFailure) {
                let channel = try await connection.openChannel { _ in }
                try await connection.call(calls, on: channel)
                await connection.closeChannel(channel)
                return true
            } catch {
                logger.warning("the dead-letter queue is missing", metadata: ["group": group, "reason": "\(error)"])
                // An object that may not be declared may exist.
                guard error.isChannelOnly, error.code == AMQPFailure.accessRefused else { return false }
            }
        }
        return false
    }

    /// Declares everything again, except the bindings of the queues `gone`.
    private func restore(on connection: RabbitConnection, without gone: Set<String> = []) async -> Bool {
        var failure: AMQPFailure?
        for calls in restoringCalls(without: gone) {
            do throws(AMQPFailure) {
                let channel = try await connection.openChannel { _ in }
                try await connection.call(calls, on: channel)
                await connection.closeChannel(channel)
                health.setMissing("topology", nil)
                // One queue that may not be bound must not keep the others from being bound.
                if failure != nil { await bindEach(on: connection) }
                await declareKept(on: connection)
                return true
            } catch {
                guard error.isChannelOnly else { return false }
                if let queue = queueOfSession(in: error), !gone.contains(queue) {
                    return await restore(on: connection, without: gone.union([queue]))
                }
                // An object that may not be declared may exist.
                failure = error
                if error.code != AMQPFailure.accessRefused { break }
            }
        }
        if let failure {
            health.setMissing("topology", failure.text)
            logger.warning("could not declare missing objects again", metadata: ["reason": "\(failure)"])
        }
        return false
    }

    /// Returns the subscription's queue that `failure` reports as missing, or `nil` if it reports something else.
    private func queueOfSession(in failure: AMQPFailure) -> String? {
        guard failure.code == AMQPFailure.notFound else { return nil }
        return sessions.values.map(\.queueName).first { failure.text.contains("no queue '\($0)'") }
    }

    /// Returns the calls that declare everything, and then the calls that need fewer permissions.
    ///
    /// - Parameter gone: The queues of subscriptions that do not exist, so that they cannot be bound. The broker cancels
    ///   their consumers, which then declare them.
    private func restoringCalls(without gone: Set<String>) -> [[AMQPCall]] {
        let groups = groups
        let check = plan.sharedCheck + groups.flatMap { plan.deadLettersCheck(of: $0) }
        guard configuration.declaration == .active else { return [check] }
        var own = groups.flatMap { plan.deadLetters(of: $0) }
        // A deleted queue cancels its consumer, which declares it again. Here it would only clash with that of a
        // broadcast.
        for session in sessions.values where session.hasQueue && !gone.contains(session.queueName) {
            own += plan.bindings(session.consumer.specification, name: session.queueName)
        }
        return [plan.shared + own, plan.sharedCheck + own, check]
    }

    // MARK: One queue

    /// Declares dead letters, queue and bindings. Returns `true` if a quorum queue is new.
    func declare(
        _ specification: QueueSpecification,
        name: String,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) -> Bool {
        var isNew = false
        if !specification.broadcast, configuration.newQueueGracePeriod > .zero {
            var quorumQueues = [TopologyNames.dueQueue(of: name)]
            if configuration.queueType == .quorum { quorumQueues.append(name) }
            for queue in quorumQueues where !isNew { isNew = try await !exists(queue, on: connection) }
        }
        do throws(AMQPFailure) {
            try await declareOwn(specification, name: name, on: connection)
        } catch {
            // On a new broker, or after an exchange was deleted, the publishing side has not declared it yet, and may
            // not reach the broker earlier.
            guard error.kind == .channelClosed(AMQPFailure.notFound), configuration.declaration == .active else {
                throw error
            }
            let channel = try await connection.openChannel { _ in }
            try await connection.call(plan.shared, on: channel)
            await connection.closeChannel(channel)
            try await declareOwn(specification, name: name, on: connection)
        }
        return isNew
    }

    /// Declares dead letters, queue and bindings.
    private func declareOwn(
        _ specification: QueueSpecification,
        name: String,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) {
        // Events that cannot be handled need a destination before any event is handled.
        let deadLetters =
            switch configuration.declaration {
            case .active: plan.deadLetters(of: specification.group)
            case .passive: plan.deadLettersCheck(of: specification.group)
            }
        if configuration.declaration == .passive && !specification.broadcast {
            let checks = [name, TopologyNames.dueQueue(of: name)].map { queue in
                AMQPCall.queueDeclare(QueueDeclaration(name: queue, isPassive: true))
            }
            let channel = try await connection.openChannel { _ in }
            try await connection.call(deadLetters + checks, on: channel)
            await connection.closeChannel(channel)
            return
        }
        let isOld = try await plan.declare(specification, name: name, after: deadLetters, on: connection)
        if isOld {
            logger.info(
                "a queue of an earlier release gives up events after 20 redeliveries, including those of graceful restarts",
                metadata: ["queue": "\(name)"]
            )
        }
    }

    func exists(_ queue: String, on connection: RabbitConnection) async throws(AMQPFailure) -> Bool {
        let channel = try await connection.openChannel { _ in }
        do throws(AMQPFailure) {
            try await connection.call(.queueDeclare(QueueDeclaration(name: queue, isPassive: true)), on: channel)
        } catch {
            if error.kind == .channelClosed(AMQPFailure.notFound), !error.isQueueDown { return false }
            throw error
        }
        await connection.closeChannel(channel)
        return true
    }
}
