package import EventBus

/// A lease that can be renewed.
package protocol RenewableLease: Sendable {
    associatedtype Owner: Hashable & Sendable

    /// The identity of the holder, which is unique for each lease.
    var owner: Owner { get }
    /// The time for which the lease is valid without a renewal.
    var ttl: Duration { get }
    var validUntil: AnyClock.Instant { get }
}

extension LockGrant: RenewableLease {}

/// The renewals of leases, which run on a thread that serves connections, at a third of their time to live.
///
/// Bodies of locks and handlers of events may block every thread of the pool on which tasks run. A lease must not end
/// because of that, so this type uses no tasks: timers and replies are handled on the connection's thread.
package final class LeaseRenewals<Lease: RenewableLease>: Sendable {
    package typealias Outcome = Result<AnyClock.Instant, any Error>
    /// A function that requests one renewal. The completion is called once, on any thread.
    package typealias Send = @Sendable (Lease, _ completion: @escaping @Sendable (Outcome) -> Void) -> Void

    private struct Entry {
        let lease: Lease
        /// The time of the next renewal, or `nil` while a reply is pending.
        var due: AnyClock.Instant?
        let onOutcome: @Sendable (Outcome) -> Void
    }

    private struct State {
        var entries: [Lease.Owner: Entry] = [:]
        /// The time at which the thread checks for due renewals next.
        var nextLook: AnyClock.Instant?

        /// Records that a check is needed. Returns `true` if none was scheduled before it.
        mutating func noteLook(at instant: AnyClock.Instant) -> Bool {
            if let nextLook, nextLook <= instant { return false }
            nextLook = instant
            return true
        }
    }

    private let clock: AnyClock
    private let thread: ConnectionThread
    private let send: Send
    private let state = Locked(State())

    /// The minimum time between checks, for any number of leases.
    private static var smallestPause: Duration { .milliseconds(5) }

    package init(clock: AnyClock, thread: ConnectionThread, send: @escaping Send) {
        self.clock = clock
        self.thread = thread
        self.send = send
    }

    /// Renews `lease` until it is lost or ``end(_:)`` is called.
    ///
    /// - Parameter onOutcome: A brief closure that is called after each attempt, on any thread.
    package func begin(_ lease: Lease, onOutcome: @escaping @Sendable (Outcome) -> Void) {
        // Two thirds of the time to live before the end, regardless of the time that the acquisition took.
        let due = lease.validUntil.advanced(by: lease.ttl * -2 / 3)
        let isEarlier = state.withLock { state in
            state.entries[lease.owner] = Entry(lease: lease, due: due, onOutcome: onOutcome)
            return state.noteLook(at: due)
        }
        if isEarlier { scheduleLook(at: due) }
    }

    package func end(_ lease: Lease) {
        // Outside the lock, because the entry may hold the last reference to the objects it calls.
        _ = state.withLock { $0.entries.removeValue(forKey: lease.owner) }
    }

    private func scheduleLook(at instant: AnyClock.Instant) {
        thread.execute { [weak self, thread] in
            guard let self else { return }
            let pause = max(.zero, clock.now.duration(to: instant))
            thread.schedule(at: MonotonicTime.now.advanced(by: pause)) { [weak self] in self?.look(instant) }
        }
    }

    /// Requests the renewals that are due. Of all scheduled checks, only the earliest one does anything.
    private func look(_ instant: AnyClock.Instant) {
        let now = clock.now
        let (due, next): ([Lease], AnyClock.Instant?) = state.withLock { state in
            guard state.nextLook == instant else { return ([], nil) }
            state.nextLook = nil
            var due: [Lease] = []
            var next: AnyClock.Instant?
            for (owner, entry) in state.entries {
                guard let time = entry.due else { continue }
                if time <= now {
                    state.entries[owner]?.due = nil
                    due.append(entry.lease)
                } else {
                    next = min(next ?? time, time)
                }
            }
            guard let next else { return (due, nil) }
            let look = max(next, now.advanced(by: Self.smallestPause))
            return (due, state.noteLook(at: look) ? look : nil)
        }
        if let next { scheduleLook(at: next) }
        for lease in due {
            send(lease) { [weak self] outcome in self?.finish(lease, sent: now, outcome) }
        }
    }

    private func finish(_ lease: Lease, sent: AnyClock.Instant, _ outcome: Outcome) {
        let now = clock.now
        let (onOutcome, look): ((@Sendable (Outcome) -> Void)?, AnyClock.Instant?) = state.withLock { state in
            guard let entry = state.entries[lease.owner] else { return (nil, nil) }
            let due: AnyClock.Instant
            switch outcome {
            case .success:
                due = sent.advanced(by: lease.ttl / 3)
            case .failure(let error) where (error as? EventBusError)?.isLoss == true:
                state.entries[lease.owner] = nil
                return (entry.onOutcome, nil)
            case .failure:
                // The server may answer again before the lease ends.
                due = now.advanced(by: max(lease.ttl / 10, Self.smallestPause))
            }
            state.entries[lease.owner]?.due = due
            return (entry.onOutcome, state.noteLook(at: due) ? due : nil)
        }
        if let look { scheduleLook(at: look) }
        onOutcome?(outcome)
    }
}

extension EventBusError {
    fileprivate var isLoss: Bool { code == .lockNotOwned || code == .leaseExpired }
}
