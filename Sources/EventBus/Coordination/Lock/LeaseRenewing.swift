/// A lock that renews its leases independently of the threads on which tasks run, because bodies may block these
/// threads.
package protocol LeaseRenewing: DistributedLock {
    /// Renews `grant` at a third of its time to live, until it is lost or ``stopRenewing(_:)`` is called.
    ///
    /// - Parameter onOutcome: A brief closure that is called after each attempt, on any thread. A successful renewal
    ///   passes the new end of the lease. `.lockNotOwned` or `.leaseExpired` means that the lease is lost.
    func startRenewing(
        _ grant: LockGrant,
        onOutcome: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
    )

    /// Stops renewing `grant`.
    func stopRenewing(_ grant: LockGrant)
}
