import EventBus

/// How far the broker is from having nothing to do.
enum Quiescence {
    case settled
    /// Nothing happens before this instant.
    case idle(until: AnyClock.Instant)
    /// A handler works, or events lie where no one takes them.
    case busy
}

extension BrokerState {
    /// Whether anything is left to do, and if only time can bring it on, when.
    func quiescence(at now: AnyClock.Instant) -> Quiescence {
        if readyCount == 0, unsettledCount == 0, timers.count == 0, blockedPublishes.isEmpty { return .settled }
        var next = timers.nextDue
        // What is ready does not count as work under way: had a consumer room for it, it would have been delivered.
        for slot in consumers.indices where consumers[slot].unsettledCount > 0 {
            guard let hold = consumers[slot].nextHold(after: now) else { return .busy }
            next = next.map { min($0, hold) } ?? hold
        }
        return next.map { .idle(until: $0) } ?? .busy
    }

    /// The queues in the order in which they were made.
    func snapshots() -> [InMemoryBroker.QueueSnapshot] {
        queues.indices.filter { !queues[$0].isDeleted }
            .sorted { queues[$0].uniqueID < queues[$1].uniqueID }
            .map { slot in
                InMemoryBroker.QueueSnapshot(
                    name: queues[slot].name,
                    ready: queues[slot].readyCount,
                    unsettled: queues[slot].unsettledCount,
                    delayed: timers.count(for: reference(toQueue: slot)),
                    consumers: queues[slot].consumers.count { !consumers[$0].isStopped }
                )
            }
    }
}
