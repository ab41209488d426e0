import EventBus

/// One renewal of a quorum lock's lease. All servers are asked at once, and a majority decides. No task takes part.
struct QuorumRenewal: Sendable {
    let members: [RedisQuorumLock.Member]
    let prefix: String
    let askTime: Duration
    let clock: AnyClock

    private struct Count {
        var tally: VoteCount
        var isForeign = false
        var isDecided = false
        /// The last error of a server.
        var error: (any Error)?
    }

    /// Asks the servers. The completion is called once, on any thread, as soon as further replies cannot change the
    /// result.
    func send(
        _ grant: LockGrant,
        _ completion: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
    ) {
        let holder: QuorumHolder
        do throws(EventBusError) {
            holder = try QuorumHolder(grant, members: members.count)
        } catch {
            return completion(.failure(error))
        }
        let sent = clock.now
        members[holder.queueServer].keepTurn(of: holder, grant.resource, grant.ttl)
        let count = Locked(Count(tally: VoteCount(members: members.count)))
        let timeout = min(askTime, grant.ttl)
        for member in members {
            member.client.commandChannel.run(
                LockScripts.renew,
                keys: QuorumKeys(prefix: prefix, resource: grant.resource).all,
                [.text(holder.token), .integer(grant.ttl.wholeMilliseconds)],
                timeout: timeout
            ) { result in
                let reply = Result { try result.get().orThrow().text }
                let answer = try? reply.get()
                let decided: Count? = count.withLock { count in
                    if case .failure(let error) = reply { count.error = error }
                    count.tally.add(answer == nil ? .failed : answer == "renewed" ? .granted : .refused)
                    if answer == "foreign" { count.isForeign = true }
                    guard count.tally.decision != nil, !count.isDecided else { return nil }
                    count.isDecided = true
                    return count
                }
                if let decided { completion(outcome(decided, grant, sent: sent)) }
            }
        }
    }

    private func outcome(
        _ count: Count,
        _ grant: LockGrant,
        sent: AnyClock.Instant
    ) -> Result<AnyClock.Instant, any Error> {
        let tally = count.tally
        switch tally.decision {
        case .granted:
            return .success(sent.advanced(by: grant.ttl.lessDrift))
        case .refused where tally.refused > members.count - tally.quorum:
            return .failure(count.isForeign ? EventBusError.lockNotOwned(grant) : .leaseExpired(grant))
        default:
            return .failure(
                EventBusError(
                    .indeterminate,
                    "too few servers answered to a renewal of '\(grant.resource)'",
                    underlying: count.error
                )
            )
        }
    }
}
