public import EventBus

/// An ``/EventBus/Inbox`` in the memory of one process.
///
/// ```swift
/// let options = SubscriptionOptions(inbox: InMemoryInbox())
/// ```
///
/// It is meant for tests and embedded services. Its records end with the process: events that are redelivered after a
/// restart are handled again. It stores completions for their retention, and active claims.
public final class InMemoryInbox: ClockedInbox {
    private let clock: AdoptedClock
    private let machine = Locked(InboxStateMachine())

    /// Creates an empty inbox, which measures by the clock of the first bus that has a subscription with it, or by the real
    /// time if it is used before.
    public init() {
        clock = AdoptedClock()
    }

    /// Creates an empty inbox that measures by `clock`.
    public init(clock: some Clock<Duration>) {
        self.clock = AdoptedClock(clock)
    }

    package func adopt(_ clock: AnyClock) { self.clock.adopt(clock) }

    private var now: AnyClock.Instant { clock.current.now }

    /// Claims an event for a subscription, unless it is completed or another claim on it is active.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let now = now
        return machine.withLock { $0.begin(key, lease: lease, now: now) }
    }

    /// Extends an active claim.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        let now = now
        try machine.withLock { machine throws(EventBusError) in
            try machine.renew(claim, lease: lease, now: now)
        }
    }

    /// Records that the event was handled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let now = now
        try machine.withLock { machine throws(EventBusError) in
            try machine.complete(claim, retention: retention, now: now)
        }
    }

    /// Ends a claim, so that the event can be claimed again immediately.
    public func abandon(_ claim: InboxClaim) async throws {
        let now = now
        machine.withLock { $0.abandon(claim, now: now) }
    }

    /// The number of stored claims and completions.
    package var count: Int { machine.withLock { $0.count } }
}
