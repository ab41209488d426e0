/// A lock that several processes share: at most one holder for a resource, for as long as its lease lasts.
///
/// ```swift
/// try await lock.withLock("sku-42") { lease in
///     try await stock.reserve(1, of: "sku-42", fencingToken: lease.fencingToken)
/// }
/// ```
///
/// A lease is time-limited, so that a holder that died does not keep the resource for ever. The price: a holder that was
/// merely stopped for longer than its time to live may wake up, not knowing that the resource has another holder by
/// now. Nothing on its side can close that gap. What can is the guarded store itself: give it
/// ``Lease/fencingToken`` with every write and let it refuse a token lower than one it has seen (Martin Kleppmann, "How
/// to do distributed locking", 2016).
///
/// Use ``withLock(_:ttl:wait:_:)``, ``withLocks(_:ttl:wait:_:)`` and ``tryLock(_:ttl:)``; the requirements below are for
/// those who write an implementation. `LockConformance` in `EventBusTesting` checks what follows on any of them:
///
/// - **Exclusion.** While a grant is valid no other grant for the resource is made. A lock is not reentrant:
///   `withLock` inside `withLock` throws `.reentrant` at once.
/// - **Fencing.** The token of each grant for a resource is greater than that of every earlier one, whichever process
///   got it, and also after leases expired.
/// - **Order.** Those who wait get the resource in the order in which they began to wait, woken by the release.
/// - **Nothing left behind.** A wait that was cancelled or that timed out neither holds the resource nor a place in line.
/// - **One outcome.** Every call returns or throws within bounded time, also when the store does not answer.
public protocol DistributedLock: Sendable {
    /// The time by which leases and waits are measured.
    var clock: AnyClock { get }

    /// Asks for `resource` and waits for it for at most `wait`; zero asks once.
    ///
    /// - Parameters:
    ///   - resource: what is locked; not empty.
    ///   - ttl: for how long the grant is valid without being renewed; positive.
    ///   - wait: for how long to stand in line; not negative.
    /// - Throws: ``EventBusError``: `.lockTimedOut` when another held the resource all the while, `.unavailable` or
    ///   `.indeterminate` when the store did not answer; `CancellationError` when cancelled, and nothing is held then.
    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant

    /// Makes a grant valid for its whole time to live again, and returns until when.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` when it had ended, `.lockNotOwned` when another holds the resource
    ///   by now; both are final. Any other error says that the outcome is unknown, and that trying again may help.
    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant

    /// Gives the resource back and wakes the first in line.
    ///
    /// An implementation that sends the command again after an unknown outcome takes "not the owner" for an answer: the
    /// first one had arrived.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` when the grant had ended, `.lockNotOwned` when another holds the
    ///   resource by now, `.unavailable` or `.indeterminate` when the store did not answer: then the grant ends by
    ///   itself when its time is over.
    func release(_ grant: LockGrant) async throws

    /// Gives the resource back soon, without waiting: called when a ``Lease`` is dropped unreleased.
    func abandon(_ grant: LockGrant)
}

extension DistributedLock {
    /// Leaves the grant to expire.
    public func abandon(_ grant: LockGrant) {}
}
