import ConnectionThread
import EventBus

/// Events that a consumer has received from a queue that was deleted. The broker has forgotten them with the queue, but
/// the consumer holds complete copies, which are sent to the queue after it was declared again.
extension ConsumerManager {
    /// The maximum time for the confirms of the copies.
    private static let orphanTimeout = Duration.seconds(30)
    /// The maximum number of events that a log message names.
    private static let maximumNamed = 10
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

    /// Sends copies of the events of a deleted queue to the queue, which exists again.
    func sendOrphans(of session: ConsumerSession) async {
        let held = session.orphans
        session.orphans = []
        guard !held.isEmpty else { return }
        let queue = session.queueName
        var lost: [EventID] = []
        let deadline = MonotonicTime.now.advanced(by: Self.orphanTimeout)
        for held in held {
            let outcome: PublishOutcome? =
                if held.message.properties.isLossless,
                    let copy = try? RepublishBuilder.deferral(
                        held,
                        as: held.envelopeID,
                        queue: queue,
                        delay: .zero,
                        failure: nil
                    )
                {
                    await withoutCancellation { [publisher] in
                        try? await publisher.publish(copy, outcome: .scheduled, deadline: deadline)
                    }
                } else {
                    nil
                }
            if outcome != .scheduled { lost.append(held.envelopeID) }
        }
        logger.warning(
            "a queue was deleted; the events that the service had received from it were sent to the new one",
            metadata: ["queue": "\(queue)", "events": "\(held.count - lost.count)"]
        )
        guard !lost.isEmpty else { return }
        let named = lost.prefix(Self.maximumNamed).map(\.rawValue).joined(separator: ", ")
        logger.warning(
            "a queue was deleted with events that the service had received and could not send again",
            metadata: ["queue": "\(queue)", "events": "\(lost.count)", "ids": "\(named.printable)"]
        )
    }

    /// Logs the number of the events that are not sent again, because their consumer ends first.
    func reportOrphans(of session: ConsumerSession) {
        let (lost, undecided) = (session.orphans.count, session.undecided.count)
        session.orphans = []
        session.undecided = []
        if lost > 0 {
            logger.warning(
                "a queue was deleted with events that the service had received and did not send again",
                metadata: ["queue": "\(session.queueName)", "events": "\(lost)"]
            )
        }
        if undecided > 0 {
            logger.warning(
                "events that the service had received are lost if their queue was deleted, and delivered again otherwise",
                metadata: ["queue": "\(session.queueName)", "events": "\(undecided)"]
            )
        }
    }
}
