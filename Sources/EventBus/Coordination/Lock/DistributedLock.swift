/// A lock that several processes share. Each resource has at most one holder, for the duration of its lease.
///
/// ```swift
/// try await lock.withLock("sku-42") { lease in
///     try await stock.reserve(1, of: "sku-42", fencingToken: lease.fencingToken)
/// }
/// ```
///
/// A lease has a time limit, so that a dead holder does not keep the resource forever. The price is that a holder that
/// was suspended for longer than its time to live may resume without knowing that the resource has another holder. The
/// lock cannot prevent that. The guarded store can: pass ``Lease/fencingToken`` with every write, and let the store
/// reject a token lower than the greatest one it has received (Martin Kleppmann, "How to do distributed locking",
/// 2016).
///
/// Use ``withLock(_:ttl:wait:_:)``, ``withLocks(_:ttl:wait:_:)`` and ``tryLock(_:ttl:)``. The requirements below are
/// for implementations. `LockConformance` in `EventBusTesting` checks the following guarantees:
///
/// - **Mutual exclusion.** While a grant is valid, no other grant for the resource is made. A lock is not reentrant:
///   `withLock` inside `withLock` throws `.reentrant` immediately.
/// - **Fencing.** The token of each grant for a resource is greater than those of all earlier grants, in every process,
///   even after leases have expired.
/// - **Order.** Waiters get the resource in the order in which they began to wait. The release wakes them.
/// - **No leftovers.** A wait that was cancelled or that timed out keeps neither the resource nor a place in the queue.
/// - **One outcome.** Every call returns or throws within bounded time, even if the store does not answer.
public protocol DistributedLock: Sendable {
    /// The clock that measures leases and waits.
    var clock: AnyClock { get }

    /// Requests `resource` and waits for it for at most `wait`. A wait of zero asks once.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource. It must not be empty.
    ///   - ttl: The time for which the grant is valid without a renewal. It must be positive.
    ///   - wait: The maximum time to wait. It must not be negative.
    /// - Throws: ``EventBusError``: `.lockTimedOut` if another holder had the resource for the whole time,
    ///   `.unavailable` or `.indeterminate` if the store did not answer. `CancellationError` if the task was cancelled,
    ///   in which case nothing is held.
    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant

    /// Renews a grant for its whole time to live, and returns its new end.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` if the grant had ended, or `.lockNotOwned` if another holder has
    ///   the resource. Both are final. After any other error the outcome is unknown, and another attempt may succeed.
    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant

    /// Releases the resource and wakes the first waiter.
    ///
    /// If an implementation sends the command again after an unknown outcome, "not the owner" counts as success,
    /// because the first command has arrived.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` if the grant had ended, `.lockNotOwned` if another holder has the
    ///   resource, `.unavailable` or `.indeterminate` if the store did not answer. In the latter case the grant expires
    ///   by itself.
    func release(_ grant: LockGrant) async throws

    /// Releases the resource soon, without waiting. It is called when a ``Lease`` is dropped without a release.
    func abandon(_ grant: LockGrant)
}

extension DistributedLock {
    /// Leaves the grant to expire.
    public func abandon(_ grant: LockGrant) {}
}
