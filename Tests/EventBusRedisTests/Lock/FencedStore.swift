import EventBus

@testable import EventBusRedis

/// The store that a lock guards in tests: it refuses a fencing token lower than one it has seen, as a store should, and
/// notes what it saw.
///
/// An effect takes two steps with a round trip between them, so that two at a time would lose a change: `counter` falls
/// behind `accepted` then.
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

    /// Makes one effect. A refusal that is met by a lease which still holds says that two were granted at a time, or that
    /// a token went back.
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
        _ = try await client.send(RedisCommand("INCR", ["violations"]))
    }
}
