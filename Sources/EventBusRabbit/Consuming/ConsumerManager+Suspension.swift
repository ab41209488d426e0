import ConnectionThread
import EventBus

/// Consumers that consume nothing for a time, while their queue stays. The queue of a broadcast exists as long as its
/// connection and its consumer, and not only as long as it is consumed.
extension ConsumerManager {
    /// Closes the consumer's channel, so that the broker returns all unsettled deliveries in order, and opens no other one.
    func suspend(_ id: UInt64) async {
        guard let session = sessions[id], session.isWanted, !session.isSuspended else { return }
        flush(session)
        session.isSuspended = true
        // Otherwise, it is found out when the queue is declared.
        if session.phase == .attached { await setAside(session) }
        report(session)
    }

    /// Consumes the queue again, and waits until it is consumed.
    func resume(_ id: UInt64, prefetch: Int) async {
        guard let session = sessions[id], session.isWanted, session.isSuspended else { return }
        session.isSuspended = false
        session.prefetch = prefetch
        // It was consumed before, so it waits for missing permissions.
        session.endsOnRefusal = false
        if session.phase == .suspended { session.phase = .detached }
        _ = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                session.attachWaiter = continuation
                if Task.isCancelled { cancelAttach(id) }
                session.wake()
            }
        } onCancel: {
            thread.execute { [weak self] in self?.assumeIsolated { $0.cancelAttach(id) } }
        }
    }

    /// Ends the channel of a suspended consumer.
    func setAside(_ session: ConsumerSession) async {
        let channel = session.channel
        detached(session, AMQPFailure(.channelClosed(0), "the subscription is paused"))
        session.phase = .suspended
        session.lastFailure = nil
        report(session)
        if channel != 0, let connection { await connection.closeChannel(channel) }
    }

    /// Returns the name of a consumer's queue. That of a broadcast is new on each connection.
    func queueName(of session: ConsumerSession) -> String {
        guard session.consumer.specification.broadcast else { return session.consumer.queueName }
        if let name = session.broadcastQueue { return name }
        let name = "\(session.consumer.queueName).\(EventID())"
        session.broadcastQueue = name
        return name
    }

    /// Deletes the queue of a broadcast whose consumer is closed. It would take events until the connection ends.
    func deleteBroadcastQueue(of session: ConsumerSession) async {
        guard let name = session.broadcastQueue, let connection,
            let channel = try? await connection.openChannel({ _ in })
        else { return }
        // A failure has ended the channel, and its number may belong to another one.
        guard (try? await connection.call(.queueDelete(name: name), on: channel)) != nil else { return }
        await connection.closeChannel(channel)
    }
}
