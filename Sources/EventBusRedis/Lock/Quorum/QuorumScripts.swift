/// The steps of the quorum lock on each of its servers, each as one script.
///
/// The keys of a resource: `:l` the holder's token, `:f` the greatest fencing token that this server knows.
enum QuorumScripts {
    /// The script that takes the resource. Arguments: token, ttl. Returns `{1, last fence, server time in µs}` or `{0,
    /// milliseconds left}`.
    static let take = RedisScript(
        """
        local time = redis.call('TIME')
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return {1, redis.call('GET', KEYS[2]) or '0', string.format('%.0f', time[1] * 1000000 + time[2])}
        """,
        name: "quorum.take"
    )

    /// The script that writes the fence back, whoever holds the resource here. Arguments: token, fence. Returns 1 if
    /// this holder holds it.
    static let confirm = RedisScript(
        """
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local fence = tonumber(ARGV[2])
        local last = tonumber(redis.call('GET', KEYS[2]) or '0')
        if fence > last then
          -- Kept until the clock is an hour past it: from then on the clock itself stays ahead.
          local kept = 3600000 + math.max(0, math.ceil((fence - us) / 1000))
          redis.call('SET', KEYS[2], ARGV[2], 'PX', string.format('%.0f', kept))
        end
        -- A greater one is a later holder's.
        if redis.call('GET', KEYS[1]) == ARGV[1] and fence >= last then return 1 end
        return 0
        """,
        name: "quorum.confirm"
    )

    /// The script that releases the resource. Argument: token. Returns `released`, `foreign` or `expired`.
    static let release = RedisScript(
        """
        local holder = redis.call('GET', KEYS[1])
        if not holder then return 'expired' end
        if holder ~= ARGV[1] then return 'foreign' end
        redis.call('DEL', KEYS[1])
        return 'released'
        """,
        name: "quorum.release"
    )
}
