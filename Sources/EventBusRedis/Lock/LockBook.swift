import EventBus

/// The grants of one lock object, and their metrics.
final class LockBook: Sendable {
    private let clock: AnyClock
    let metrics: LockMetrics?
    private let ledger = Locked(LockStateTable())

    /// Creates a book, which counts nothing if `metrics` is `nil`.
    init(clock: AnyClock, metrics: LockMetrics?) {
        self.clock = clock
        self.metrics = metrics
    }

    /// Measures and counts one acquisition.
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

    /// Records that the holder no longer needs a grant. The grant counts as lost if it has expired and the server has
    /// not confirmed its release.
    func ended(_ grant: LockGrant, isConfirmed: Bool = false) {
        let now = clock.now
        let isLost = ledger.withLock { $0.end(grant.owner, isLost: false, at: now) }
        if isLost && !isConfirmed { metrics?.noteLoss() }
    }

    /// Records that the server reported the earlier end of a grant.
    func lost(_ grant: LockGrant) {
        let now = clock.now
        if ledger.withLock({ $0.end(grant.owner, isLost: true, at: now) }) { metrics?.noteLoss() }
    }
}
