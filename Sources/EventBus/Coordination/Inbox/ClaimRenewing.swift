/// An inbox that renews claims independently of the threads on which tasks run, because handlers may block these threads.
package protocol ClaimRenewing: Inbox {
    /// Claims an event as ``Inbox/begin(_:lease:)`` does, and renews the claim from the arrival of the answer on, until
    /// ``stopRenewing(_:)`` is called. The caller may be resumed late, because it needs one of those threads.
    func beginRenewing(_ key: InboxKey, lease: Duration) async throws -> InboxDecision

    /// Renews `claim` at a third of its lease, until it is lost or ``stopRenewing(_:)`` is called. It replaces an earlier
    /// renewal of the claim.
    ///
    /// - Parameters:
    ///   - left: The time from now until the claim ends.
    ///   - onOutcome: A brief closure that is called after each attempt, on any thread. A successful renewal passes the
    ///     time from now until the new end of the claim. `.leaseExpired` means that the claim is lost.
    func startRenewing(
        _ claim: InboxClaim,
        lease: Duration,
        left: Duration,
        onOutcome: @escaping @Sendable (Result<Duration, any Error>) -> Void
    )

    /// Stops renewing `claim`.
    func stopRenewing(_ claim: InboxClaim)
}
