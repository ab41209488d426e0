import EventBus

/// The degree to which the broker has nothing to do.
enum Quiescence {
    case settled
    /// Nothing happens before this instant.
    case idle(until: AnyClock.Instant)
    /// A handler is running, a request is about to return, or events wait where nobody consumes them.
    case busy
}

extension BrokerState {
    /// Returns whether anything is left to do, and the next instant at which something happens if only time is missing.
    func quiescence(at now: AnyClock.Instant) -> Quiescence {
        if readyCount == 0, unsettledCount == 0, timers.count == 0, blockedPublishes.isEmpty, pendingRequests.isEmpty {
            return .settled
        }
        var next = timers.nextDue
        for request in pendingRequests.values {
            if request.isReturning || request.deadline <= now { return .busy }
            next = next.map { min($0, request.deadline) } ?? request.deadline
        }
        // Ready events do not count as work in progress: if a consumer had room for one, it would have been delivered.
        for slot in consumers.indices where consumers[slot].unsettledCount > 0 {
            guard let hold = consumers[slot].nextHold(after: now) else { return .busy }
            next = next.map { min($0, hold) } ?? hold
        }
        return next.map { .idle(until: $0) } ?? .busy
    }

    /// Returns the state of the queues in the order of their creation.
    func snapshots() -> [InMemoryBroker.QueueSnapshot] {
        queues.indices.filter { !queues[$0].isDeleted }
            .sorted { queues[$0].uniqueID < queues[$1].uniqueID }
            .map { slot in
                InMemoryBroker.QueueSnapshot(
                    name: queues[slot].name,
                    ready: queues[slot].readyCount,
                    unsettled: queues[slot].unsettledCount,
                    delayed: timers.count(for: reference(toQueue: slot)),
                    consumers: queues[slot].consumers.count { !consumers[$0].isStopped && !consumers[$0].isSuspended }
                )
            }
    }
}
