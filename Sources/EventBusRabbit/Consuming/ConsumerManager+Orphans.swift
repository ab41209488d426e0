import ConnectionThread
import EventBus

/// Events that a consumer has received from a queue that was deleted. The broker has forgotten them with the queue, but
/// the consumer holds complete copies, which are sent to the queue after it was declared again.
extension ConsumerManager {
    /// The maximum number of events that one log message names.
    private static let maximumNamed = 50
    /// The maximum time for which a queue that reports neither events nor consumers is watched.
    private static let deletionTime = Duration.milliseconds(500)
    /// The time between two questions about such a queue.
    private static let questionPause = Duration.milliseconds(20)
    /// The time before a lost queue is declared again, in which the other instances of the service find it missing too.
    static let absence = Duration.milliseconds(100)

    /// Keeps the unsettled deliveries of a consumer whose queue may have been deleted.
    ///
    /// A broker also cancels the consumers of a queue that it moves or that failed. Its events are delivered again.
    func keepUnsettled(of session: ConsumerSession) {
        let held = session.consumer.unsettled
        guard !held.isEmpty else { return }
        if session.consumer.specification.broadcast {
            // Nobody consumes this queue again.
            session.orphans += held
        } else {
            session.undecided = held
        }
    }

    /// Finds out whether a lost queue was deleted, before it is declared again.
    ///
    /// RabbitMQ 4.0 cancels the consumers of a quorum queue before it forgets the queue. In the meantime it reports the
    /// queue as empty, and ends the connection on which the queue is consumed.
    func findLostQueue(of session: ConsumerSession, on connection: RabbitConnection) async throws(AMQPFailure) {
        guard session.hasLostQueue, !session.consumer.specification.broadcast else { return }
        let question = AMQPCall.queueDeclare(QueueDeclaration(name: session.consumer.queueName, isPassive: true))
        let deadline = MonotonicTime.now.advanced(by: Self.deletionTime)
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            var saysNothing = true
            while saysNothing, session.phase == .attaching, MonotonicTime.now < deadline {
                guard case .queue(_, 0, 0) = try await connection.call(question, on: channel) else {
                    saysNothing = false
                    break
                }
                await sleep(session, until: .now.advanced(by: Self.questionPause))
            }
            await connection.closeChannel(channel)
            session.isSuspect = saysNothing || configuration.queueType == .quorum
        } catch {
            guard error.isChannelOnly else { throw error }
            guard error.kind == .channelClosed(AMQPFailure.notFound), !error.isQueueDown else { return }
            session.orphans += session.undecided
            session.undecided = []
        }
        guard session.phase == .attaching else { return }
        await sleep(session, until: .now.advanced(by: Self.absence))
    }

    /// Sends copies of the events of a deleted queue to the queue, which exists again. Copies that the broker does not
    /// accept yet are sent again, also after the consumer has ended.
    func sendOrphans(of session: ConsumerSession) {
        guard !session.orphans.isEmpty, orphanSenders[session.consumer.id] == nil else { return }
        orphanSenders[session.consumer.id] = session
        Task { await self.keepSendingOrphans(of: session) }
    }

    private func keepSendingOrphans(of session: ConsumerSession) async {
        defer { orphanSenders[session.consumer.id] = nil }
        let subject = "orphans-\(session.consumer.id)"
        var rounds = 0
        while !session.orphans.isEmpty {
            let isEnd = await sendOnce(session)
            if isEnd { abandonOrphans(of: session) }
            let count = session.orphans.count
            health.setMissing(
                subject,
                count == 0 ? nil : "\(count) events of the deleted queue '\(session.queueName)', which are sent again"
            )
            guard count > 0 else { return }
            rounds += 1
            try? await Task.sleep(for: RabbitConsumer.pause(after: rounds))
        }
    }

    /// Sends each copy once. Returns a Boolean value indicating whether the rest can never be sent.
    private func sendOnce(_ session: ConsumerSession) async -> Bool {
        var (sent, lost) = (0, [EventID]())
        var (isEnd, isUnavailable) = (ended != nil, false)
        for held in session.orphans where !isEnd && !isUnavailable {
            let fate = await send(held, to: session.queueName)
            switch fate {
            case .sent: sent += 1
            case .impossible: lost.append(held.envelopeID)
            case .unroutable: isEnd = !isQueueWanted(of: session)
            case .refused: break
            case .unavailable: isUnavailable = true
            }
            if fate == .sent || fate == .impossible { session.orphans.removeAll { $0 === held } }
            isEnd = isEnd || ended != nil
        }
        if sent > 0 {
            logger.warning(
                "a queue was deleted; the events that the service had received from it were sent to the new one",
                metadata: ["queue": "\(session.queueName)", "events": "\(sent)"]
            )
        }
        name(
            lost,
            of: session,
            "a queue was deleted with events that the service had received and could not send again"
        )
        return isEnd
    }

    /// Returns a Boolean value indicating whether the service still has the subscription, so that its queue is declared.
    private func isQueueWanted(of session: ConsumerSession) -> Bool {
        if session.phase != .closed { return true }
        let specification = session.consumer.specification
        return !specification.broadcast && owns(configuration.queueName(of: specification))
    }

    /// The result of sending a copy.
    private enum OrphanFate {
        case sent
        /// The event cannot be sent as it came.
        case impossible
        /// There is no queue.
        case unroutable
        /// The queue is full.
        case refused
        /// There is no connection, or the broker accepts no event.
        case unavailable
    }

    private func send(_ held: RabbitConsumer.Held, to queue: String) async -> OrphanFate {
        guard held.message.properties.isLossless,
            let copy = try? RepublishBuilder.deferral(
                held,
                as: held.envelopeID,
                queue: queue,
                delay: .zero,
                failure: nil
            )
        else { return .impossible }
        let deadline = MonotonicTime.now.advanced(by: configuration.orphanTimeout)
        do {
            let outcome = try await withoutCancellation { [publisher] in
                try await publisher.publish(copy, outcome: .scheduled, deadline: deadline)
            }
            return outcome == .scheduled ? .sent : .unroutable
        } catch let error as EventBusError where error.code.isAboutTheEvent {
            return .impossible
        } catch let error as EventBusError where error.code.isRefusal {
            return .refused
        } catch {
            return .unavailable
        }
    }

    /// Names the events in hand of a consumer that ends, if they may be lost.
    func reportOrphans(of session: ConsumerSession) {
        // Those of a queue that outlives its consumer are still sent.
        if session.consumer.specification.broadcast { abandonOrphans(of: session) } else { sendOrphans(of: session) }
        let undecided = session.undecided.map(\.envelopeID)
        session.undecided = []
        name(
            undecided,
            of: session,
            "events that the service had received are lost if their queue was deleted, and delivered again otherwise"
        )
    }

    /// Gives up the copies that were not sent.
    func abandonOrphans(of session: ConsumerSession) {
        let lost = session.orphans.map(\.envelopeID)
        session.orphans = []
        name(lost, of: session, "a queue was deleted with events that the service had received and did not send again")
    }

    /// Logs the ids of events that may be lost.
    private func name(_ events: [EventID], of session: ConsumerSession, _ message: String) {
        for start in stride(from: 0, to: events.count, by: Self.maximumNamed) {
            let ids = events[start...].prefix(Self.maximumNamed).map(\.rawValue).joined(separator: ", ")
            logger.warning(
                message,
                metadata: [
                    "queue": "\(session.queueName)", "events": "\(events.count)", "ids": "\(ids.printable)",
                ]
            )
        }
    }
}
