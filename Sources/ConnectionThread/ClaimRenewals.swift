package import EventBus

/// The renewals of an inbox's claims on the thread of its connection.
package final class ClaimRenewals: Sendable {
    /// A function that requests one renewal. The completion is called once, on any thread.
    package typealias Send =
        @Sendable (
            InboxClaim, _ lease: Duration, _ completion: @escaping @Sendable (Result<Void, any Error>) -> Void
        ) -> Void

    private struct Lease: RenewableLease {
        let owner: InboxClaim
        let ttl: Duration
        let validUntil: AnyClock.Instant
    }

    package let clock = AnyClock.continuous
    private let renewals: LeaseRenewals<Lease>

    package init(on thread: ConnectionThread, send: @escaping Send) {
        self.renewals = LeaseRenewals(clock: clock, thread: thread) { [clock] lease, done in
            let sent = clock.now
            send(lease.owner, lease.ttl) { result in done(result.map { sent.advanced(by: lease.ttl) }) }
        }
    }

    /// Renews a claim whose request was sent at `sent`, until somebody takes part in it or it ends.
    package func hold(_ claim: InboxClaim, lease: Duration, sent: AnyClock.Instant) {
        begin(claim, lease: lease, left: lease - sent.duration(to: clock.now)) { _ in }
    }

    /// Renews `claim`. See ``ClaimRenewing/startRenewing(_:lease:left:onOutcome:)``.
    package func begin(
        _ claim: InboxClaim,
        lease: Duration,
        left: Duration,
        onOutcome: @escaping @Sendable (Result<Duration, any Error>) -> Void
    ) {
        let lease = Lease(owner: claim, ttl: lease, validUntil: clock.now.advanced(by: left))
        renewals.begin(lease) { [clock] outcome in onOutcome(outcome.map { clock.now.duration(to: $0) }) }
    }

    package func end(_ claim: InboxClaim) {
        renewals.end(Lease(owner: claim, ttl: .zero, validUntil: clock.now))
    }
}
