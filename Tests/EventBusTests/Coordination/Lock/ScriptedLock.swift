import EventBus
import EventBusTesting

/// A lock that is always free, with scripted results of renewals and releases.
final class ScriptedLock: DistributedLock {
    enum Call: Hashable {
        case acquire(String)
        case renew
        case release(isCancelled: Bool)
        case abandon
    }

    let clock: AnyClock
    let calls = EventLog<Call>()
    /// A Boolean value indicating whether each lease has ended when its grant arrives.
    private let grantsLate: Bool
    private let onRenew: @Sendable (LockGrant) async throws -> AnyClock.Instant
    private let onRelease: @Sendable (LockGrant) async throws -> Void

    init(
        clock: some Clock<Duration>,
        grantsLate: Bool = false,
        onRenew: @escaping @Sendable (LockGrant) async throws -> AnyClock.Instant = { $0.validUntil },
        onRelease: @escaping @Sendable (LockGrant) async throws -> Void = { _ in }
    ) {
        self.clock = AnyClock(clock)
        self.grantsLate = grantsLate
        self.onRenew = onRenew
        self.onRelease = onRelease
    }

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        let number = calls.note(.acquire(resource))
        return LockGrant(
            resource: resource,
            owner: "\(number)",
            fencingToken: UInt64(number),
            ttl: ttl,
            validUntil: clock.now.advanced(by: grantsLate ? .zero : ttl)
        )
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        calls.note(.renew)
        return try await onRenew(grant)
    }

    func release(_ grant: LockGrant) async throws {
        calls.note(.release(isCancelled: Task.isCancelled))
        try await onRelease(grant)
    }

    func abandon(_ grant: LockGrant) {
        calls.note(.abandon)
    }

    func count(of call: Call) -> Int { calls.entries.count { $0 == call } }
}
