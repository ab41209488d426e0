public import EventBus

/// An ``/EventBus/Inbox`` in the memory of one process.
///
/// For tests, and for services that run embedded. It forgets with the process: events delivered again after a restart
/// are handled again. It holds what was completed within the retention, and the claims that are in force.
public final class InMemoryInbox: Inbox {
    private let clock: AnyClock
    private let machine: Locked<InboxMachine>

    /// An inbox that has seen nothing.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        self.clock = AnyClock(clock)
        self.machine = Locked(InboxMachine())
    }

    /// Claims an event for a subscription, unless it is completed or another claim on it is in force.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let now = clock.now
        return machine.withLock { $0.begin(key, lease: lease, now: now) }
    }

    /// Extends a claim that is in force.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        let now = clock.now
        try machine.withLock { machine throws(EventBusError) in
            try machine.renew(claim, lease: lease, now: now)
        }
    }

    /// Records that the event was handled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let now = clock.now
        try machine.withLock { machine throws(EventBusError) in
            try machine.complete(claim, retention: retention, now: now)
        }
    }

    /// Ends a claim, so that the event can be claimed again at once.
    public func abandon(_ claim: InboxClaim) async throws {
        let now = clock.now
        machine.withLock { $0.abandon(claim, now: now) }
    }

    /// How many claims and completions are remembered.
    package var count: Int { machine.withLock { $0.count } }
}
