/// The request for permits as one script.
///
/// A key contains the time of its last grant by the server's clock, and the level of the bucket at that time, both in
/// microseconds. The level falls as time passes. If the clock is set back, the next request notes the level at the new
/// time.
enum RateLimitScript {
    /// The script that requests permits. Arguments: the time in which one permit becomes available, the permits, the
    /// burst and the maximum wait, all times in microseconds. Returns `{1 or 0, delay in microseconds, remaining}`.
    static let reserve = RedisScript(
        """
        local interval, permits, burst, wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local last, level = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+%.%d+)$')
        level = math.max(0, tonumber(level or '0') - math.max(0, us - tonumber(last or '0')))
        -- A number that no limiter has written.
        if not (level < 1e16) then level = 0 end
        local filled = level + permits * interval
        -- Levels are rounded, which must not refuse the last permit of a burst.
        local delay = math.max(0, math.ceil(filled - burst * interval - 0.5))
        local granted = delay <= wait
        if granted then level = filled end
        -- Without that, the level would not fall until a clock that was set back has caught up.
        if granted or us < tonumber(last or '0') then
          local kept = string.format('%.0f', math.ceil(level / 1000) + 1)
          redis.call('SET', KEYS[1], string.format('%.0f:%.3f', us, level), 'PX', kept)
        end
        local left = math.max(0, math.floor((burst * interval - level) / interval + 0.001))
        return {granted and 1 or 0, string.format('%.0f', delay), string.format('%.0f', left)}
        """,
        name: "rate_limit.reserve"
    )
}
