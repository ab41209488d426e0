import EventBus

/// The expiration of events that wait for a consumer. As on RabbitMQ, an event expires when it is the first in its queue.
extension BrokerState {
    /// Dead-letters the events that have expired by `now`.
    mutating func expire(by now: AnyClock.Instant, _ effects: inout Effects) {
        expiryTime = now
        for queue in queues.indices where queues[queue].readyCount > 0 {
            let before = readyCount
            while let first = queues[queue].first, isExpired(first) {
                _ = queues[queue].takeFirst()
                readyCount -= 1
                buryExpired(first, from: queue, at: effects.wallTime)
            }
            guard readyCount < before else { continue }
            admitBlockedPublish(to: queue, &effects)
            queuesToDispatch.append(queue)
        }
        dispatchMarked(&effects)
    }

    func isExpired(_ event: QueuedEvent) -> Bool {
        guard let expires = event.extras?.expires, let expiryTime else { return false }
        return expires <= expiryTime
    }

    mutating func buryExpired(_ event: QueuedEvent, from queue: Int, at time: EventTime) {
        bury(
            event,
            from: queue,
            failure: Failure(reason: .expired, errorType: "", message: "no consumer received it in time"),
            attempts: event.attempt - 1,
            firstFailure: event.extras?.firstFailure,
            time: time
        )
    }
}
