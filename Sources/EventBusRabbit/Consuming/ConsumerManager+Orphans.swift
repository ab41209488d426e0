import ConnectionThread
import EventBus

/// Events that a consumer has received from a queue that was deleted. The broker has forgotten them with the queue, but
/// the consumer holds complete copies, which are sent to the queue after it was declared again.
extension ConsumerManager {
    /// The maximum time for the confirms of the copies.
    private static let orphanTimeout = Duration.seconds(30)
    /// The maximum number of events that a log message names.
    private static let maximumNamed = 10

    /// Keeps the unsettled deliveries of a consumer that the broker has cancelled, if its queue does not exist.
    ///
    /// It asks immediately, before any instance of the service declares the queue again. A broker also cancels the
    /// consumers of a queue that it moves or that was not available, whose events are delivered again.
    func keepOrphans(of session: ConsumerSession) {
        let held = session.consumer.unsettled
        guard !held.isEmpty, let connection else { return }
        let (queue, before) = (session.queueName, session.orphans)
        session.orphans = Task {
            let known = await before?.value ?? []
            do {
                return try await exists(queue, on: connection) ? known : known + held
            } catch {
                // The broker may still have them.
                return known
            }
        }
    }

    /// Sends copies of the events of a deleted queue to the queue, which exists again.
    func sendOrphans(of session: ConsumerSession) async {
        guard let task = session.orphans else { return }
        session.orphans = nil
        let held = await task.value
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
        guard let orphans = session.orphans else { return }
        session.orphans = nil
        Task { [queue = session.queueName, logger] in
            let count = await orphans.value.count
            guard count > 0 else { return }
            logger.warning(
                "a queue was deleted with events that the service had received and did not send again",
                metadata: ["queue": "\(queue)", "events": "\(count)"]
            )
        }
    }
}
