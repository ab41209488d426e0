import ConnectionThread
package import EventBus

/// The renewals of claims, which run on the connection's thread.
extension RedisInbox: ClaimRenewing {
    static func renewals(over client: RedisClient, prefix: String) -> ClaimRenewals {
        ClaimRenewals(on: client.thread) { [channel = client.commandChannel] claim, lease, done in
            channel.run(
                InboxScripts.renew,
                keys: [key(claim.key, prefix: prefix)],
                [.text("\(claim.fence)"), .integer(lease.wholeMilliseconds)],
                timeout: min(channel.configuration.commandTimeout, lease)
            ) { result in
                done(
                    Result {
                        guard try result.get().orThrow().text == "renewed" else {
                            throw EventBusError.notInForce(claim)
                        }
                    }
                )
            }
        }
    }

    package func beginRenewing(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let sent = renewals.clock.now
        return try await begin(key, lease: lease) { [renewals] claim in
            renewals.hold(claim, lease: lease, sent: sent)
        }
    }

    package func startRenewing(
        _ claim: InboxClaim,
        lease: Duration,
        left: Duration,
        onOutcome: @escaping @Sendable (Result<Duration, any Error>) -> Void
    ) {
        renewals.begin(claim, lease: lease, left: left, onOutcome: onOutcome)
    }

    package func stopRenewing(_ claim: InboxClaim) {
        renewals.end(claim)
    }
}
