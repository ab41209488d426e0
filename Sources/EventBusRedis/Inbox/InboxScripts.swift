/// What the inbox does on the server, each step as one script.
///
/// The record of an event: its state (`p` in progress, `c` completed, `a` abandoned), the fence of its last claim, the end
/// of that claim by the server's clock in milliseconds, and a number by which a claimant knows its own request again. A
/// record outlives its claim by an hour, so that fences grow even if the clock is set back, and that a request that was
/// withdrawn is known if it arrives late.
enum InboxScripts {
    private static let common = """
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local now = math.floor(us / 1000)
        local record = redis.call('GET', KEYS[1])
        local state, fence, ends, request
        if record then state, fence, ends, request = string.match(record, '^(%a):(%d+):(%d+):(.*)$') end
        local inForce = state == 'p' and tonumber(ends) > now

        """

    /// Arguments: lease, request. Returns `{'new', fence}`, `{'completed'}` or `{'inProgress', milliseconds}`.
    static let begin = RedisScript(
        common + """
            if state == 'c' then return {'completed'} end
            if inForce and request == ARGV[2] then return {'new', fence} end
            -- It was withdrawn, or its claim abandoned, before this copy of it arrived.
            if state == 'a' and request == ARGV[2] then return {'inProgress', 1} end
            if inForce then return {'inProgress', tonumber(ends) - now} end
            local text = string.format('%.0f', math.max(tonumber(fence or '0') + 1, us))
            local claim = 'p:' .. text .. ':' .. string.format('%.0f', now + ARGV[1]) .. ':' .. ARGV[2]
            redis.call('SET', KEYS[1], claim, 'PX', string.format('%.0f', ARGV[1] + 3600000))
            return {'new', text}
            """
    )

    /// Arguments: fence, retention. Returns `recorded`, or the state of the claim that took the place of this one.
    static let complete = RedisScript(
        common + """
            if fence ~= ARGV[1] and (inForce or state == 'c') then return state end
            redis.call('SET', KEYS[1], 'c:' .. ARGV[1] .. ':0:', 'PX', ARGV[2])
            return 'recorded'
            """
    )

    /// Argument: fence.
    static let abandon = RedisScript(
        common + """
            if state == 'p' and fence == ARGV[1] then
              redis.call('SET', KEYS[1], 'a:' .. fence .. ':0:' .. request, 'PX', 3600000)
            end
            return 'abandoned'
            """
    )

    /// Takes back a request whose outcome its claimant has not learned, also one that is still to arrive.
    /// Argument: request.
    static let withdraw = RedisScript(
        common + """
            if not state or state == 'a' or state == 'p' and request == ARGV[1] then
              local text = fence or string.format('%.0f', us)
              redis.call('SET', KEYS[1], 'a:' .. text .. ':0:' .. ARGV[1], 'PX', 3600000)
            end
            return 'withdrawn'
            """
    )
}
