import ConnectionThread
import EventBus

/// Streams among the queues of other systems.
///
/// A stream takes no event back: it treats what is returned or rejected as acknowledged. The broker does not count its
/// consumers, so that the watch would attach them again and again.
extension ConsumerManager {
    /// The header with which the broker marks each delivery of a stream. A publisher can set it too.
    private static let offsetHeader = "x-stream-offset"

    /// Returns a Boolean value indicating whether a delivery waits until it is known whether its queue is a stream.
    func awaitsStreamCheck(_ delivery: AMQPDelivery, _ session: ConsumerSession) -> Bool {
        switch session.streamCheck {
        case .isQueue: return false
        case .asking, .isStream: break
        case .unknown:
            guard plan.isForeign(session.consumer.specification),
                delivery.message.properties.headers[Self.offsetHeader] != nil
            else { return false }
            session.streamCheck = .asking
            Task { await self.answerStreamCheck(session) }
        }
        session.unchecked.append(delivery)
        return true
    }

    private func answerStreamCheck(_ session: ConsumerSession) async {
        let isStream = await isStream(session.queueName)
        guard session.streamCheck == .asking else { return }
        session.streamCheck = isStream ? .unknown : .isQueue
        if isStream { return refuseStream(session) }
        let waiting = session.unchecked
        session.unchecked = []
        for delivery in waiting { receive(delivery, session) }
    }

    /// Returns a Boolean value indicating whether the queue of another system has events, but no consumer, although it is
    /// consumed.
    func isUnwatchable(_ session: ConsumerSession, on connection: RabbitConnection) async -> Bool {
        guard plan.isForeign(session.consumer.specification) else { return false }
        let declaration = QueueDeclaration(name: session.queueName, isPassive: true)
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            let reply = try await connection.call(.queueDeclare(declaration), on: channel)
            await connection.closeChannel(channel)
            guard case .queue(_, let messages, let consumers) = reply else { return false }
            return messages > 0 && consumers == 0
        } catch {
            return false
        }
    }

    /// Returns a Boolean value indicating whether a queue is a stream. The broker ends a connection that reads a single
    /// event of a stream.
    func isStream(_ queue: String) async -> Bool {
        do {
            try await records.use { connection in
                let channel = try await connection.openChannel { _ in }
                _ = try await connection.call(.basicGet(queue: queue), on: channel)
                // An event of a queue returns to it.
                await connection.closeChannel(channel)
            }
            return false
        } catch {
            return (error as? AMQPFailure)?.kind == .connectionClosed(AMQPFailure.notImplemented)
        }
    }

    /// Ends a consumer permanently, because its queue is a stream.
    func refuseStream(_ session: ConsumerSession) {
        guard session.isWanted else { return }
        let failure = AMQPFailure(.stream, session.queueName)
        session.streamCheck = .isStream
        expected.withLock { $0[session.consumer.id] = nil }
        let channel = session.channel
        detached(session, failure)
        session.lastFailure = failure
        report(session)
        session.wake()
        logger.warning("a queue is not consumed", metadata: ["reason": "\(failure)"])
        let activity = "attaching \(session.consumer.specification.queueName)"
        session.resolveAttach(.failure(failure.busError(while: activity)))
        connection?.assumeIsolated { $0.closeChannelWithoutWaiting(channel) }
    }
}
