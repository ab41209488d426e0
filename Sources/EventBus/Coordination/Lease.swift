/// The right to a locked resource, for a limited time.
///
/// A lease cannot be copied, so it cannot be used by two owners, nor after its release. One that is dropped without a
/// release is released soon after, without waiting for it; should that fail, it expires.
public struct Lease: ~Copyable, Sendable {
    package let holding: LeaseHolding
    private let releasesWhenDropped: Bool

    init(_ holding: LeaseHolding, releasesWhenDropped: Bool) {
        self.holding = holding
        self.releasesWhenDropped = releasesWhenDropped
    }

    deinit {
        if releasesWhenDropped { holding.abandon() }
    }

    /// What is locked.
    public var resource: String { holding.grant.resource }

    /// Greater than the token of every earlier lease of this resource.
    ///
    /// Hand it to the store that the lock guards, and let the store refuse a token lower than one it has seen: that,
    /// and not the lock alone, keeps out a holder who was stopped for longer than its lease.
    public var fencingToken: UInt64 { holding.grant.fencingToken }

    /// Throws if the lease has ended, as far as is known here; costs no round trip.
    ///
    /// Call it before a step that cannot be undone. It speaks for the instant of the call only.
    ///
    /// - Throws: ``EventBusError``: `.lockLost` when the store said so, `.leaseExpired` when the time is over and no
    ///   renewal has come through.
    public func check() throws {
        try holding.check()
    }

    /// Makes the lease valid for its whole time to live again.
    ///
    /// Only a lease of ``DistributedLock/tryLock(_:ttl:)`` needs it; inside `withLock` it happens by itself.
    ///
    /// - Throws: ``EventBusError``: `.lockLost` or `.leaseExpired` when the lease has ended; any other error says that
    ///   the outcome is unknown, and that trying again may help.
    public func renew() async throws {
        try await holding.renew()
    }

    /// Gives the resource back. Goes through also when the calling task is cancelled.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` or `.lockNotOwned` when the lease had ended before,
    ///   `.unavailable` or `.indeterminate` when the store did not answer: then the lease ends when its time is over.
    public consuming func release() async throws {
        try await holding.release()
    }
}
