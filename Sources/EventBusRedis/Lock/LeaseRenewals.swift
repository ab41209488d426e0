import ConnectionThread
import EventBus

/// Renews leases from a thread that serves connections, at a third of their time to live.
///
/// Bodies of locks may block every thread of the pool on which tasks run. A lease must not end because of that, so
/// nothing of this is a task: timers and replies are handled on the connection's thread.
final class LeaseRenewals: Sendable {
    typealias Outcome = Result<AnyClock.Instant, any Error>
    /// Asks for one renewal; the completion is called once, on any thread.
    typealias Send = @Sendable (LockGrant, _ completion: @escaping @Sendable (Outcome) -> Void) -> Void

    fileprivate struct Entry {
        let grant: LockGrant
        /// When to renew next; `nil` while an answer is due.
        var due: AnyClock.Instant?
        let onOutcome: @Sendable (Outcome) -> Void
    }

    fileprivate struct State {
        /// By the owner of the grant.
        var entries: [String: Entry] = [:]
        /// When the thread looks next.
        var nextLook: AnyClock.Instant?
    }

    private let clock: AnyClock
    private let thread: ConnectionThread
    private let send: Send
    private let state = Locked(State())

    /// Looks are at least so far apart, however many leases there are.
    private static let smallestPause = Duration.milliseconds(5)

    init(clock: AnyClock, thread: ConnectionThread, send: @escaping Send) {
        self.clock = clock
        self.thread = thread
        self.send = send
    }

    /// Renews `grant` until it is lost or ``end(_:)`` is called.
    ///
    /// - Parameter onOutcome: told of each attempt, on any thread; has to be brief.
    func begin(_ grant: LockGrant, onOutcome: @escaping @Sendable (Outcome) -> Void) {
        // Two thirds before the end, wherever the acquisition has spent its time.
        let due = grant.validUntil.advanced(by: grant.ttl * -2 / 3)
        let isEarlier = state.withLock { state in
            state.entries[grant.owner] = Entry(grant: grant, due: due, onOutcome: onOutcome)
            return state.noteLook(at: due)
        }
        if isEarlier { scheduleLook(at: due) }
    }

    func end(_ grant: LockGrant) {
        // Outside of the lock, since it may hold the last reference to what it calls.
        _ = state.withLock { $0.entries.removeValue(forKey: grant.owner) }
    }

    private func scheduleLook(at instant: AnyClock.Instant) {
        thread.execute { [weak self, thread] in
            guard let self else { return }
            let pause = max(.zero, clock.now.duration(to: instant))
            thread.schedule(at: MonotonicTime.now.advanced(by: pause)) { [weak self] in self?.look(instant) }
        }
    }

    /// Asks for the renewals that are due. Each look but the earliest that was asked for does nothing.
    private func look(_ instant: AnyClock.Instant) {
        let now = clock.now
        let (due, next): ([LockGrant], AnyClock.Instant?) = state.withLock { state in
            guard state.nextLook == instant else { return ([], nil) }
            state.nextLook = nil
            var due: [LockGrant] = []
            var next: AnyClock.Instant?
            for (owner, entry) in state.entries {
                guard let time = entry.due else { continue }
                if time <= now {
                    state.entries[owner]?.due = nil
                    due.append(entry.grant)
                } else {
                    next = min(next ?? time, time)
                }
            }
            guard let next else { return (due, nil) }
            let look = max(next, now.advanced(by: Self.smallestPause))
            return (due, state.noteLook(at: look) ? look : nil)
        }
        if let next { scheduleLook(at: next) }
        for grant in due {
            send(grant) { [weak self] outcome in self?.finish(grant, sent: now, outcome) }
        }
    }

    private func finish(_ grant: LockGrant, sent: AnyClock.Instant, _ outcome: Outcome) {
        let now = clock.now
        let (onOutcome, look): ((@Sendable (Outcome) -> Void)?, AnyClock.Instant?) = state.withLock { state in
            guard let entry = state.entries[grant.owner] else { return (nil, nil) }
            let due: AnyClock.Instant
            switch outcome {
            case .success:
                due = sent.advanced(by: grant.ttl / 3)
            case .failure(let error) where (error as? EventBusError)?.isLoss == true:
                state.entries[grant.owner] = nil
                return (entry.onOutcome, nil)
            case .failure:
                // The server may answer again before the lease is over.
                due = now.advanced(by: max(grant.ttl / 10, Self.smallestPause))
            }
            state.entries[grant.owner]?.due = due
            return (entry.onOutcome, state.noteLook(at: due) ? due : nil)
        }
        if let look { scheduleLook(at: look) }
        onOutcome?(outcome)
    }
}

extension LeaseRenewals.State {
    /// Notes that a look is needed; true if none was planned before it.
    fileprivate mutating func noteLook(at instant: AnyClock.Instant) -> Bool {
        if let nextLook, nextLook <= instant { return false }
        nextLook = instant
        return true
    }
}

extension EventBusError {
    fileprivate var isLoss: Bool { code == .lockNotOwned || code == .leaseExpired }
}
