import EventBus

extension RedisQuorumLock {
    private enum Outcome {
        case granted(LockGrant)
        /// Another holder has the resource, for this time at most.
        case held(left: Duration)
        /// The lock was granted, but nothing was left of the lease by then.
        case late
        /// Too few servers answered, the last of them with this error.
        case unreachable(EventBusError?)
    }

    func acquireUncounted(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try Task.checkCancellation()
        let deadline = clock.now.advanced(by: wait)
        let (queueServer, turn) = try await takeTurn(resource, ttl: ttl, wait: wait, deadline)
        var holder = QuorumHolder(queueServer: queueServer, round: 0, turnToken: turn.owner)
        let keys = QuorumKeys(prefix: prefix, resource: resource)
        do {
            while true {
                let outcome = try await tryRound(holder, resource, keys, ttl, limit: limit(wait, ttl, deadline))
                try Task.checkCancellation()
                if case .granted(let grant) = outcome { return grant }
                undo(holder, keys, ttl)
                let isOver = clock.now >= deadline
                var pause = Duration.milliseconds(Int64.random(in: 5...50))
                switch outcome {
                case .granted(let grant): return grant
                case .held(let left):
                    if isOver { throw EventBusError(.lockTimedOut, "'\(resource)' is held by another") }
                    pause = min(pause, left + .milliseconds(Int64.random(in: 1...10)))
                case .late:
                    if isOver { throw unavailable(resource, "it took longer than its time to live of \(ttl)") }
                case .unreachable(let error):
                    // The rest of the wait is used, because servers restart.
                    if isOver { throw unavailable(resource, "no majority of the servers answered", error) }
                }
                try await clock.sleep(until: min(deadline, clock.now.advanced(by: pause)))
                members[queueServer].keepTurn(of: holder, resource, ttl)
                holder = QuorumHolder(queueServer: queueServer, round: holder.round + 1, turnToken: turn.owner)
            }
        } catch {
            await giveUp(holder, keys, turn)
            throw error
        }
    }

    // MARK: Queueing

    /// Waits in the queue of the first server that answers.
    private func takeTurn(
        _ resource: String,
        ttl: Duration,
        wait: Duration,
        _ deadline: AnyClock.Instant
    ) async throws -> (queueServer: Int, turn: LockGrant) {
        while true {
            var failures: [EventBusError] = []
            for queueServer in queueServers() {
                // The first server may have used up the time by not answering. Then each of the others is asked once.
                let left = max(.zero, clock.now.duration(to: deadline))
                do {
                    return (queueServer, try await members[queueServer].turn.acquire(resource, ttl: ttl, wait: left))
                } catch let error as EventBusError where error.code != .lockTimedOut {
                    failures.append(error)
                    let end = clock.now.advanced(by: .seconds(5))
                    suspicions.withLock { $0[queueServer] = end }
                }
            }
            // Servers that would refuse again are reported immediately.
            if let first = failures.first, failures.allSatisfy(\.isLasting) { throw first }
            // The rest of the wait is used, because servers restart.
            let pause = Duration.milliseconds(Int64.random(in: 50...150))
            guard clock.now.advanced(by: pause) < deadline else {
                throw unavailable(resource, "no server keeps the line", failures.last)
            }
            try await clock.sleep(for: pause)
        }
    }

    /// Returns the servers in the order in which they are asked for a turn.
    private func queueServers() -> [Int] {
        let now = clock.now
        return suspicions.withLock { suspicions in
            let isSuspect = suspicions.map { $0.map { now < $0 } ?? false }
            return suspicions.indices.filter { !isSuspect[$0] } + suspicions.indices.filter { isSuspect[$0] }
        }
    }

    // MARK: Rounds

    /// Asks all servers for the resource, and writes the fencing token back.
    private func tryRound(
        _ holder: QuorumHolder,
        _ resource: String,
        _ keys: QuorumKeys,
        _ ttl: Duration,
        limit: Duration
    ) async throws -> Outcome {
        let end = clock.now.advanced(by: ttl.lessDrift)
        let taken = try await ask(
            QuorumScripts.take,
            keys: keys.all,
            [.text(holder.token), .integer(ttl.wholeMilliseconds)],
            limit: limit
        ) { reply in
            switch reply.array?.first?.integer {
            case 1: .granted
            case 0: .refused
            default: .failed
            }
        }
        switch taken.tally.decision {
        case .granted: break
        case .refused: return .held(left: taken.timeLeft)
        default:
            if let refusal = taken.refusal { throw refusal }
            return .unreachable(taken.errors.last)
        }
        try requireDifferentServers()
        guard let fence = taken.nextFence else { return .unreachable(nil) }
        guard clock.now < end else { return .late }
        let confirmed = try await ask(
            QuorumScripts.confirm,
            keys: keys.all,
            [.text(holder.token), .text("\(fence)")],
            limit: min(limit, clock.now.duration(to: end))
        ) { $0.integer == 1 ? .granted : .refused }
        guard clock.now < end else { return .late }
        switch confirmed.tally.decision {
        case .granted: break
        case .refused: return .held(left: .zero)
        default:
            if let refusal = confirmed.refusal { throw refusal }
            return .unreachable(confirmed.errors.last)
        }
        return .granted(
            LockGrant(resource: resource, owner: holder.owner, fencingToken: fence, ttl: ttl, validUntil: end)
        )
    }

    /// Returns the timeout of one question. It does not exceed the wait, unless the wait is too short for any reply.
    private func limit(_ wait: Duration, _ ttl: Duration, _ deadline: AnyClock.Instant) -> Duration {
        let limit = min(askTime, ttl)
        return wait == .zero ? limit : min(limit, max(clock.now.duration(to: deadline), RedisLock.grace))
    }

    /// Undoes a round on every server, including those that did not answer.
    private func undo(_ holder: QuorumHolder, _ keys: QuorumKeys, _ ttl: Duration) {
        for member in members { member.cleanup.start(releaseStep(holder.token, keys, ttl)) }
    }

    /// Undoes the last round and passes the turn to the next waiter. Waits for that for a short time at most.
    private func giveUp(_ holder: QuorumHolder, _ keys: QuorumKeys, _ turn: LockGrant) async {
        await withTaskGroup(of: Void.self) { group in
            let step = releaseStep(holder.token, keys, turn.ttl)
            for member in members { group.addTask { await member.cleanup.run(step, grace: RedisLock.grace) } }
        }
        members[holder.queueServer].turn.abandon(turn)
    }

    func releaseStep(_ token: String, _ keys: QuorumKeys, _ ttl: Duration) -> RedisCleanup.Step {
        RedisCleanup.Step(script: QuorumScripts.release, keys: keys.all, arguments: [.text(token)], limit: ttl)
    }

    private func unavailable(_ resource: String, _ reason: String, _ cause: EventBusError? = nil) -> EventBusError {
        EventBusError(.unavailable, "'\(resource)' could not be acquired: \(reason)", underlying: cause)
    }
}

extension RedisQuorumLock.Member {
    /// Extends the turn on this server to the end of the lease. If the turn ends earlier, the next waiter only asks the
    /// servers in vain for a while.
    func keepTurn(of holder: QuorumHolder, _ resource: String, _ ttl: Duration) {
        turn.client.post(
            LockScripts.renew,
            keys: LockKeys(prefix: turn.prefix, resource: resource).holderAndFence,
            [.text(holder.turnToken), .integer(ttl.wholeMilliseconds)]
        )
    }
}
