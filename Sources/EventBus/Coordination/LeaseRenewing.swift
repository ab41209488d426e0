/// A lock that renews its leases by itself, independent of the threads on which tasks run: bodies may block those.
package protocol LeaseRenewing: DistributedLock {
    /// Renews `grant` at a third of its time to live, until it is lost or ``stopRenewing(_:)`` is called.
    ///
    /// - Parameter onOutcome: told of each attempt, on any thread; has to be brief. A renewal gives the instant until
    ///   which the lease is valid. `.lockNotOwned` or `.leaseExpired` says that the lease is lost.
    func startRenewing(
        _ grant: LockGrant,
        onOutcome: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
    )

    /// Renews `grant` no more.
    func stopRenewing(_ grant: LockGrant)
}
