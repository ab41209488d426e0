public import EventBus

/// A ``/EventBus/SharedLock``, which is a read-write lock and a semaphore, on one Redis server.
///
/// ```swift
/// let lock = RedisSharedLock(redis)
/// try await lock.withReadLock("price-list") { _ in try await readPrices() }
/// try await lock.withPermit("reports", limit: 4) { _ in try await createReport() }
/// ```
///
/// It works like ``RedisLock``, and has the same limits: a failover may lose a lease, and a suspended holder may overlap
/// with the next one. All requests of a resource wait in one queue on the server, and a release hands its share to as
/// many waiters as there is room for. Its resources are independent of those of a ``RedisLock`` with the same prefix.
public final class RedisSharedLock: SharedLock {
    let base: RedisLock

    /// Creates a lock on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: The connection to the server.
    ///   - prefix: The prefix of the keys, without braces. Locks with different prefixes are independent.
    ///   - handOverTime: The time within which a waiter that was handed a share has to take it before it passes to the
    ///     next waiter, at least 50 ms and at most one hour. Defaults to 500 ms.
    public init(
        _ client: RedisClient,
        prefix: String = "eventbus",
        handOverTime: Duration = .milliseconds(500)
    ) {
        self.base = RedisLock(
            client,
            prefix: "\(prefix):shared",
            rules: .shared,
            handOverTime: handOverTime,
            askTime: client.configuration.commandTimeout,
            outlivesOutages: true,
            metrics: LockMetrics(prefix: "\(prefix):shared")
        )
    }

    /// Returns the lock whose grants have the given share of their resources.
    public func lock(for share: LockShare) -> any DistributedLock {
        View(lock: base, tokenSuffix: ".\(share.limit ?? 0)")
    }

    private struct View: LockView, LeaseRenewing {
        let lock: RedisLock
        let tokenSuffix: String

        var base: AnyObject { lock }
        var clock: AnyClock { lock.clock }

        func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
            try await lock.acquire(resource, ttl: ttl, wait: wait, tokenSuffix: tokenSuffix)
        }

        func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { try await lock.renew(grant) }
        func release(_ grant: LockGrant) async throws { try await lock.release(grant) }
        func abandon(_ grant: LockGrant) { lock.abandon(grant) }

        func startRenewing(
            _ grant: LockGrant,
            onOutcome: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
        ) {
            lock.startRenewing(grant, onOutcome: onOutcome)
        }

        func stopRenewing(_ grant: LockGrant) { lock.stopRenewing(grant) }
    }
}
