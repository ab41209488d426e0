/// The right to use a locked resource, for a limited time.
///
/// ```swift
/// guard let lease = try await lock.tryLock("nightly-report") else { return }
/// try await createReport(fencingToken: lease.fencingToken)
/// try await lease.release()
/// ```
///
/// A lease cannot be copied, so it cannot have two owners or be used after its release. A lease that is dropped without
/// a release is released soon in the background. If that fails, it expires.
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

    /// The name of the locked resource.
    public var resource: String { holding.grant.resource }

    /// A number that is greater than the token of every earlier lease of this resource.
    ///
    /// Pass it to the store that the lock guards, and let the store reject a token lower than the greatest one it has
    /// received. The lock alone cannot exclude a holder that was suspended for longer than its lease.
    public var fencingToken: UInt64 { holding.grant.fencingToken }

    /// Throws if the lease has ended, as far as this process knows. It makes no round trip.
    ///
    /// Call it before a step that cannot be undone. Its result is valid only for the instant of the call.
    ///
    /// - Throws: ``EventBusError``: `.lockLost` if the store reported the loss, or `.leaseExpired` if the time is over
    ///   and no renewal has succeeded.
    public func check() throws {
        try holding.check()
    }

    /// Renews the lease for its whole time to live.
    ///
    /// Only a lease of ``DistributedLock/tryLock(_:ttl:)`` needs it. Inside `withLock` leases are renewed
    /// automatically.
    ///
    /// - Throws: ``EventBusError``: `.lockLost` or `.leaseExpired` if the lease has ended. After any other error the
    ///   outcome is unknown, and another attempt may succeed.
    public func renew() async throws {
        try await holding.renew()
    }

    /// Releases the resource, even if the calling task is cancelled.
    ///
    /// - Throws: ``EventBusError``: `.leaseExpired` or `.lockNotOwned` if the lease had already ended; `.unavailable`
    ///   or `.indeterminate` if the store did not answer. In the latter case the lease expires.
    public consuming func release() async throws {
        try await holding.release()
    }
}
