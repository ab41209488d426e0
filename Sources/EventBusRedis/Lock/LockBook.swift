import EventBus

/// What one lock object has granted, and what it counts of that.
final class LockBook: Sendable {
    private let clock: AnyClock
    private let metrics: LockMetrics?
    private let ledger = Locked(LockLedger())

    /// A book that counts nothing without `metrics`.
    init(clock: AnyClock, metrics: LockMetrics?) {
        self.clock = clock
        self.metrics = metrics
    }

    /// Times and counts one acquisition.
    func acquisition(_ body: () async throws -> LockGrant) async throws -> LockGrant {
        let start = clock.now
        do {
            let grant = try await body()
            let now = clock.now
            metrics?.noteGrant(after: start.duration(to: now))
            let forgotten = ledger.withLock { $0.note(grant.owner, until: grant.validUntil, at: now) }
            for _ in 0..<forgotten { metrics?.noteLoss() }
            return grant
        } catch {
            metrics?.noteFailure(error)
            throw error
        }
    }

    func renewed(_ grant: LockGrant, until end: AnyClock.Instant) {
        ledger.withLock { $0.renew(grant.owner, until: end) }
    }

    /// The holder has no more use for a grant. It was lost if its time is over without the server having said otherwise.
    func ended(_ grant: LockGrant, isConfirmed: Bool = false) {
        let now = clock.now
        let isLost = ledger.withLock { $0.end(grant.owner, isLost: false, at: now) }
        if isLost && !isConfirmed { metrics?.noteLoss() }
    }

    /// The server said that a grant had ended before.
    func lost(_ grant: LockGrant) {
        let now = clock.now
        if ledger.withLock({ $0.end(grant.owner, isLost: true, at: now) }) { metrics?.noteLoss() }
    }
}
