import EventBus

extension RedisQuorumLock {
    /// The replies of the servers to one question at the time of the decision.
    struct Poll {
        var tally: VoteCount
        var replies: [RedisValue?]
        /// The errors of the servers without a reply.
        var errors: [EventBusError] = []

        /// The error that would prevent a majority again, because so many servers refuse the question for a reason that
        /// does not pass within a wait.
        var refusal: EventBusError? {
            let lasting = errors.filter(\.isLasting)
            return lasting.count > tally.members - tally.quorum ? lasting.first : nil
        }

        /// The earliest time at which one of the refusing servers may be free.
        var timeLeft: Duration {
            let left = replies.compactMap { reply -> Int64? in
                guard let parts = reply?.array, parts.first?.integer == 0, parts.count == 2 else { return nil }
                return parts[1].integer
            }
            return .milliseconds(max(0, left.min() ?? 0))
        }

        /// A fencing token greater than every one that a server of this majority knows, or `nil` if a reply was
        /// invalid.
        var nextFence: UInt64? {
            var next: UInt64 = 0
            for reply in replies {
                guard let parts = reply?.array, parts.first?.integer == 1 else { continue }
                guard parts.count == 3, let last = parts[1].text.flatMap({ UInt64($0) }),
                    let time = parts[2].text.flatMap({ UInt64($0) }), last < .max
                else { return nil }
                next = max(next, last + 1, time)
            }
            return next
        }
    }

    /// Runs a script on all servers at once. Returns as soon as further replies cannot change the decision.
    func ask(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool = true,
        limit: Duration,
        _ ballot: @escaping @Sendable (RedisValue) -> VoteCount.Vote
    ) async throws -> Poll {
        var poll = Poll(
            tally: VoteCount(members: members.count),
            replies: Array(repeating: nil, count: members.count)
        )
        await withTaskGroup(of: (Int, Result<RedisValue, any Error>).self) { group in
            for (index, member) in members.enumerated() {
                // Runs synchronously until the command is queued on the connection, so that the commands of one caller
                // keep their order.
                group.addImmediateTask {
                    do {
                        let reply = try await member.client.run(
                            script,
                            keys: keys,
                            arguments,
                            isIdempotent: isIdempotent,
                            // A slow server is not waited for, but has to run the script all the same.
                            isSentInFull: true,
                            limit: limit
                        )
                        return (index, .success(reply))
                    } catch {
                        return (index, .failure(error))
                    }
                }
            }
            while poll.tally.decision == nil, let (index, result) = await group.next() {
                switch result {
                case .success(let reply):
                    poll.replies[index] = reply
                    poll.tally.add(ballot(reply))
                case .failure(let error):
                    if let error = error as? EventBusError { poll.errors.append(error) }
                    poll.tally.add(.failed)
                }
            }
            group.cancelAll()
        }
        try Task.checkCancellation()
        return poll
    }
}

extension EventBusError {
    /// A Boolean value indicating whether a repetition within a wait would fail as well: the server is out of memory, or
    /// rejects the command.
    var isLasting: Bool { isOutOfMemory || !isTransient }
}
