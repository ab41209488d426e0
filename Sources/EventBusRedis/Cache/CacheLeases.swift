import ConnectionThread
import EventBus

/// The renewals of the leases under which this process computes values.
///
/// They run on the connection's thread, because computations may block every thread of the pool on which tasks run. They
/// are sent like the commands of locks, because a large value of the same cache must not delay them.
final class CacheLeases: Sendable {
    private let lease: Duration
    private let clock: AnyClock
    private let renewals: LeaseRenewals<LockGrant>

    init(_ client: RedisClient, keys: CacheKeys, lease: Duration, clock: AnyClock) {
        self.lease = lease
        self.clock = clock
        renewals = LeaseRenewals(clock: clock, thread: client.thread) { [channel = client.commandChannel] grant, done in
            let sent = clock.now
            channel.run(
                CacheScripts.renew,
                keys: [keys.lease(grant.resource)],
                [.text(Self.token(of: grant)), .integer(lease.wholeMilliseconds)],
                timeout: min(channel.configuration.commandTimeout, lease)
            ) { result in
                done(
                    Result {
                        guard try result.get().orThrow().integer == 1 else { throw EventBusError.leaseExpired(grant) }
                        return sent.advanced(by: lease)
                    }
                )
            }
        }
    }

    /// Renews the leases that `token` has on `keys`, until ``end(_:)`` is called with the result.
    func begin(_ keys: [String], _ token: String) -> [LockGrant] {
        let validUntil = clock.now.advanced(by: lease)
        let grants = keys.map { key in
            LockGrant(
                resource: key,
                owner: "\(token) \(key)",
                fencingToken: 0,
                ttl: lease,
                validUntil: validUntil
            )
        }
        for grant in grants { renewals.begin(grant) { _ in } }
        return grants
    }

    func end(_ grants: [LockGrant]) {
        for grant in grants { renewals.end(grant) }
    }

    private static func token(of grant: LockGrant) -> String {
        String(grant.owner.prefix { $0 != " " })
    }
}
