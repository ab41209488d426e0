/// The server-side steps of the inbox, each as one script.
///
/// The record of an event contains its state (`p` in progress, `c` completed, `a` abandoned), the fence of its last
/// claim, the end of that claim by the server's clock and its lease, both in milliseconds, and a number by which a
/// claimant recognizes its own request. The last field of a completed record is the digest of the event's payload. A
/// record outlives its claim by an hour. Fences therefore grow even if the clock is set back, and a withdrawn request is
/// recognized if it arrives late.
///
/// A Redis that is out of memory refuses a script's first write if the command may allocate. It refuses `begin`, which
/// adds a record. If there is a record, the other steps replace it by one of the same size, so they begin with `PEXPIRE`,
/// which allocates nothing, and work on a full server.
enum InboxScripts {
    private static let common = """
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local now = math.floor(us / 1000)
        local record = redis.call('GET', KEYS[1])
        local state, fence, ends, lease, request
        if record then state, fence, ends, lease, request = string.match(record, '^(%a):(%d+):(%d+):(%d+):(.*)$') end
        local inForce = state == 'p' and tonumber(ends) > now
        local function allowReplacing()
          if record then redis.call('PEXPIRE', KEYS[1], 3600000) end
        end
        local function claim(milliseconds)
          local text = string.format('%.0f', milliseconds)
          local value = 'p:' .. fence .. ':' .. string.format('%.0f', now + milliseconds) .. ':' .. text .. ':' .. request
          redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', milliseconds + 3600000))
        end

        """

    /// The script that claims an event. Arguments: lease, request. Returns `{'new', fence}`, `{'completed',
    /// digest}` or `{'inProgress', milliseconds}`.
    static let begin = RedisScript(
        common + """
            if state == 'c' then return {'completed', request} end
            if inForce and request == ARGV[2] then return {'new', fence} end
            -- It was withdrawn, or its claim abandoned, before this copy of it arrived.
            if state == 'a' and request == ARGV[2] then return {'inProgress', 1} end
            if inForce then
              local left = tonumber(ends) - now
              -- The clock was set back: a claim ends one lease from now at the latest, unless it is renewed.
              if left > tonumber(lease) then
                left = tonumber(lease)
                claim(left)
              end
              return {'inProgress', left}
            end
            fence = string.format('%.0f', math.max(tonumber(fence or '0') + 1, us))
            request = ARGV[2]
            claim(tonumber(ARGV[1]))
            return {'new', fence}
            """,
        name: "inbox.begin"
    )

    /// The script that extends a claim. Arguments: fence, lease. Returns `renewed`, or `lost` if the claim is not
    /// active.
    static let renew = RedisScript(
        common + """
            if fence ~= ARGV[1] then return 'lost' end
            if state == 'c' then return 'renewed' end
            if not inForce then return 'lost' end
            allowReplacing()
            claim(tonumber(ARGV[2]))
            return 'renewed'
            """,
        name: "inbox.renew"
    )

    /// The script that records a handled event. Arguments: fence, retention, digest. Returns `recorded`, or the state of
    /// the claim that replaced this one.
    static let complete = RedisScript(
        common + """
            if fence ~= ARGV[1] and (inForce or state == 'c') then return state end
            allowReplacing()
            redis.call('SET', KEYS[1], 'c:' .. ARGV[1] .. ':0:0:' .. ARGV[3], 'PX', ARGV[2])
            return 'recorded'
            """,
        name: "inbox.complete"
    )

    /// The script that ends a claim without recording the event. Argument: fence.
    static let abandon = RedisScript(
        common + """
            if state == 'p' and fence == ARGV[1] then
              allowReplacing()
              redis.call('SET', KEYS[1], 'a:' .. fence .. ':0:0:' .. request, 'PX', 3600000)
            end
            return 'abandoned'
            """,
        name: "inbox.abandon"
    )

    /// The script that withdraws a request whose outcome its claimant does not know, even if the request has not
    /// arrived yet. Argument: request.
    static let withdraw = RedisScript(
        common + """
            if not state or state == 'a' or state == 'p' and request == ARGV[1] then
              local text = fence or string.format('%.0f', us)
              allowReplacing()
              redis.call('SET', KEYS[1], 'a:' .. text .. ':0:0:' .. ARGV[1], 'PX', 3600000)
            end
            return 'withdrawn'
            """,
        name: "inbox.withdraw"
    )
}
