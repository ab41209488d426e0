public import EventBus

/// A ``/EventBus/SharedLock``, which is a read-write lock and a semaphore, for the tasks of one process.
///
/// ```swift
/// let lock = InMemorySharedLock()
/// try await lock.withReadLock("price-list") { _ in try await readPrices() }
/// ```
///
/// It is meant for tests and embedded services.
public final class InMemorySharedLock: SharedLock {
    private let base: InMemoryLock

    /// Creates a lock without holders.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        self.base = InMemoryLock(clock: clock)
    }

    /// Returns the lock whose grants have the given share of their resources.
    public func lock(for share: LockShare) -> any DistributedLock {
        View(lock: base, share: share)
    }

    /// The number of resources that are held or waited for.
    package var count: Int { base.count }

    private struct View: LockView {
        let lock: InMemoryLock
        let share: LockShare

        var base: AnyObject { lock }
        var clock: AnyClock { lock.clock }

        func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
            try await lock.acquire(resource, share: share, ttl: ttl, wait: wait)
        }

        func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { try await lock.renew(grant) }
        func release(_ grant: LockGrant) async throws { try await lock.release(grant) }
        func abandon(_ grant: LockGrant) { lock.abandon(grant) }
    }
}
