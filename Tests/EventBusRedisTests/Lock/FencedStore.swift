import EventBus

@testable import EventBusRedis

/// The store that a lock guards in tests. It refuses a fencing token lower than the greatest one it has received, and
/// records the tokens.
///
/// An effect takes two steps with a round trip in between, so that two concurrent effects would lose a change.
/// `counter` is then lower than `accepted`.
enum FencedStore {
    private static let enter = RedisScript(
        """
        local fence, last = tonumber(ARGV[1]), tonumber(redis.call('GET', 'last-fence') or '0')
        if fence < last then return {0, '0'} end
        if fence == last then redis.call('INCR', 'violations') end
        redis.call('SET', 'last-fence', ARGV[1])
        local left = redis.call('GET', 'left-at')
        if left then
          local time = redis.call('TIME')
          redis.call('RPUSH', 'hand-overs', string.format('%.0f', time[1] * 1000000 + time[2] - left))
          redis.call('DEL', 'left-at')
        end
        return {1, redis.call('GET', 'counter') or '0'}
        """
    )

    private static let leave = RedisScript(
        """
        if tonumber(ARGV[1]) < tonumber(redis.call('GET', 'last-fence')) then return 0 end
        local time = redis.call('TIME')
        redis.call('SET', 'counter', ARGV[2])
        redis.call('INCR', 'accepted')
        redis.call('SET', 'left-at', string.format('%.0f', time[1] * 1000000 + time[2]))
        return 1
        """
    )

    /// Makes one effect. A refusal for a valid lease, an `overlap`, means that two leases were granted at the same
    /// time. A token that was used before is a `violation`.
    static func effect(_ client: RedisClient, _ lease: borrowing Lease) async throws {
        let fence = RedisArgument.text("\(lease.fencingToken)")
        let entered = try await client.run(enter, keys: ["last-fence"], [fence], isIdempotent: false).array ?? []
        var isAccepted = entered.first?.integer == 1
        if isAccepted, let counter = entered.last?.text.flatMap({ Int64($0) }) {
            let left = try await client.run(
                leave,
                keys: ["last-fence"],
                [fence, .integer(counter + 1)],
                isIdempotent: false
            )
            isAccepted = left.integer == 1
        }
        if isAccepted { return }
        try lease.check()
        _ = try await client.send(RedisCommand("INCR", ["overlaps"]))
    }
}
