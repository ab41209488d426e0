/// The server-side steps of the lock, each as one script.
///
/// The keys of a resource: `:l` the holder's token; `:f` the last fencing token; `:w` the waiters, a sorted set by time
/// of arrival; `:c` their processes, with the time until which each counts as alive and whether it listens for
/// messages; `:h` the waiter that was handed the lock and has not taken it yet. A token is `PROCESS.NUMBER`.
///
/// All times are those of the server. Numbers are formatted by `%.0f`, because Lua's own conversion rounds long ones.
///
/// **Memory.** A server without free memory refuses a script at its first writing command, if that command may
/// allocate, and none of the later ones. A request for the lock therefore begins with a `ZADD … XX` that changes
/// nothing. Taking a handed over lock, renewing and releasing work without free memory, because they allocate no more
/// than the waiter's place in the queue that they free.
enum LockScripts {
    /// The functions that remove from the queue what is left of waiters that are gone, given `W`, `C`, `us`, `now` and
    /// `process`. Each looks at a few entries only, however many there are.
    static let queueFunctions = """
        local function isGone(owner)
          local alive = string.match(redis.call('HGET', C, owner) or '', '^%d+')
          return not alive or tonumber(alive) < now
        end
        -- Forgets the process of a token that has just left the queue, unless another of its waiters may be there.
        local function forget(token)
          local count = redis.call('ZCARD', W)
          if count == 0 then
            redis.call('DEL', C)
          elseif count <= 16 then
            for _, other in ipairs(redis.call('ZRANGE', W, 0, 15)) do
              if process(other) == process(token) then return end
            end
            redis.call('HDEL', C, process(token))
          end
        end
        -- Removes some of the processes that have stopped asking, and some of their waiters. Each question of a waiter
        -- looks at others, so they go as fast as they come.
        local function sweep()
          local count = redis.call('ZCARD', W)
          if count > 16 then
            local first = us % count
            for _, token in ipairs(redis.call('ZRANGE', W, first, first + 3)) do
              if isGone(process(token)) then
                redis.call('ZREM', W, token)
                redis.call('HDEL', C, process(token))
              end
            end
          end
          local owners = redis.pcall('HRANDFIELD', C, 2)
          -- Without the permission, they remain until the queue is empty.
          if owners.err then return end
          for _, owner in ipairs(owners) do
            if isGone(owner) then redis.call('HDEL', C, owner) end
          end
        end

        """

    private static let common =
        """
        local L, F, W, C, H = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local now = math.floor(us / 1000)
        local function process(token) return string.match(token, '^[^.]*') end
        -- The milliseconds for which a fence is kept after a lease of `px` milliseconds: until the clock is an hour past
        -- both. From then on the clock itself stays ahead.
        local function fenceTime(fence, px)
          return string.format('%.0f', px + 3600000 + math.max(0, math.ceil((fence - us) / 1000)))
        end
        local function grant(token, px)
          local fence = math.max(tonumber(redis.call('GET', F) or '0') + 1, us)
          local text = string.format('%.0f', fence)
          redis.call('SET', F, text, 'PX', fenceTime(fence, px))
          redis.call('SET', L, token, 'PX', px)
          return text
        end
        -- Kept for as long as a waiter may take to ask again.
        local function keep(key, alive)
          local kept = math.max(60000, tonumber(alive))
          if redis.call('PTTL', key) < kept then redis.call('PEXPIRE', key, string.format('%.0f', kept)) end
        end

        """ + queueFunctions + """
            local function handOver(px, channel)
              for _ = 1, 256 do
                local head = redis.call('ZRANGE', W, 0, 0)[1]
                if not head then
                  redis.call('DEL', C)
                  return nil
                end
                redis.call('ZREM', W, head)
                local owner = process(head)
                local state = redis.call('HGET', C, owner)
                if state then
                  local alive, listens = string.match(state, '^(%d+)(.)')
                  if tonumber(alive) >= now then
                    grant(head, px)
                    redis.call('SET', H, head, 'PX', px + 60000)
                    local reached = redis.pcall('PUBLISH', channel .. owner, head .. ' ' .. L)
                    -- Without the right to publish, the waiter finds out by asking.
                    if type(reached) == 'table' or reached > 0 or listens ~= '+' then return head end
                    redis.call('DEL', L, H)
                  end
                  redis.call('HDEL', C, owner)
                end
              end
              return nil
            end
            -- Gives back what was handed to a waiter that does not take it, also when its time for that is over: the others of
            -- its process have stopped no more than it has.
            local function decline(token, px, channel)
              local holder = redis.call('GET', L)
              redis.call('DEL', H)
              if holder and holder ~= token then return end
              redis.call('DEL', L)
              handOver(px, channel)
            end

            """

    /// The script that requests the lock. Arguments: token, ttl, `1` to wait in the queue, hand-over time, channel
    /// prefix, the time for which a process counts as alive, and `+` if this process listens, `~` if it does at another node, or
    /// `-`. Returns `{1, fence}` or
    /// `{0, milliseconds left, token the lock was handed to}`.
    static let acquire = RedisScript(
        common + """
            local token, ttl, px = ARGV[1], ARGV[2], tonumber(ARGV[4])
            local owner = process(token)
            local waits = ARGV[3] == '1'
            local holder = redis.call('GET', L)
            local function take()
              redis.call('ZREM', W, token)
              redis.call('DEL', H)
              redis.call('PEXPIRE', L, ttl)
              forget(token)
              local fence = redis.call('GET', F)
              if not fence then return {1, grant(token, ttl)} end
              redis.call('PEXPIRE', F, fenceTime(tonumber(fence), ttl))
              return {1, fence}
            end
            if holder == token then return take() end
            redis.call('ZADD', W, 'XX', 0, '')
            if waits then
              redis.call('HSET', C, owner, string.format('%.0f', now + ARGV[6]) .. ARGV[7])
              keep(C, ARGV[6])
            end
            if not holder then
              local late = redis.call('GET', H)
              if late then
                redis.call('DEL', H)
                -- It comes late, but nobody else came either.
                if late == token then
                  forget(token)
                  return {1, grant(token, ttl)}
                end
                -- It was handed the lock and did not come: its process is stopped, and so are its other waiters.
                if process(late) ~= owner then redis.call('HDEL', C, process(late)) end
              end
              local head = redis.call('ZRANGE', W, 0, 0)[1]
              if head and head ~= token then holder = handOver(px, ARGV[5]) end
              if holder == token then return take() end
              if not holder and (head == token or redis.call('ZCARD', W) == 0) then
                redis.call('ZREM', W, token)
                forget(token)
                return {1, grant(token, ttl)}
              end
            end
            if waits then
              sweep()
              if not redis.call('ZSCORE', W, token) then
                local last = redis.call('ZRANGE', W, -1, -1, 'WITHSCORES')[2]
                redis.call('ZADD', W, string.format('%.0f', math.max(us, tonumber(last or '0') + 1)), token)
              end
              keep(W, ARGV[6])
            end
            return {0, redis.call('PTTL', L), redis.call('GET', H) or ''}
            """,
        name: "lock.acquire"
    )

    /// The script that releases the lock. Arguments: token, hand-over time, channel prefix. Returns `released`,
    /// `foreign` or `expired`.
    static let release = RedisScript(
        common + """
            local holder = redis.call('GET', L)
            if not holder then return 'expired' end
            if holder ~= ARGV[1] then return 'foreign' end
            redis.call('DEL', L, H)
            local fence = redis.call('GET', F)
            if fence then redis.call('PEXPIRE', F, fenceTime(tonumber(fence), 0)) end
            handOver(tonumber(ARGV[2]), ARGV[3])
            return 'released'
            """,
        name: "lock.release"
    )

    /// The script that removes a waiter from the queue and releases what it holds or was handed. Arguments are those of
    /// ``release``.
    static let leave = RedisScript(
        common + """
            redis.call('ZREM', W, ARGV[1])
            forget(ARGV[1])
            if redis.call('GET', L) == ARGV[1] or redis.call('GET', H) == ARGV[1] then
              decline(ARGV[1], tonumber(ARGV[2]), ARGV[3])
            end
            return 'left'
            """,
        name: "lock.leave"
    )

    /// The script that returns a lock that was handed to a waiter that is gone, unless it was taken after all.
    /// Arguments are those of ``release``.
    static let decline = RedisScript(
        common + """
            if redis.call('GET', H) == ARGV[1] then decline(ARGV[1], tonumber(ARGV[2]), ARGV[3]) end
            return 'declined'
            """,
        name: "lock.decline"
    )

    /// The script that renews the lease. Keys: the holder's and the fence's. Arguments: token, ttl. Returns `renewed`,
    /// `foreign` or `expired`.
    static let renew = RedisScript(
        """
        local holder = redis.call('GET', KEYS[1])
        if not holder then return 'expired' end
        if holder ~= ARGV[1] then return 'foreign' end
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        -- The fence outlives the lease by an hour. It is missing if the server was told to remove it.
        local left, kept = redis.call('PTTL', KEYS[2]), ARGV[2] + 3600000
        if left >= 0 and left < kept then redis.call('PEXPIRE', KEYS[2], string.format('%.0f', kept)) end
        return 'renewed'
        """,
        name: "lock.renew"
    )

    /// The script that describes the holder. Returns its token, the milliseconds left, its fence (empty if it is
    /// unknown), the time in microseconds and the number of waiters, or nothing if the resource is free.
    static let inspect = RedisScript(
        """
        local holder = redis.call('GET', KEYS[1])
        if not holder then return {} end
        local time = redis.call('TIME')
        return {
          holder, redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]) or '',
          string.format('%.0f', time[1] * 1000000 + time[2]), redis.call('ZCARD', KEYS[3])
        }
        """,
        name: "lock.inspect"
    )

    /// Returns a script that runs `body` only if the first argument still holds the first key. `body` sees neither of
    /// them.
    static func guarded(_ body: String) -> RedisScript {
        RedisScript(
            """
            local holder = redis.call('GET', KEYS[1])
            if not holder then return redis.error_reply('LEASEEXPIRED the lease has ended') end
            if holder ~= ARGV[1] then return redis.error_reply('LEASEFOREIGN another holds the lock') end
            table.remove(KEYS, 1)
            table.remove(ARGV, 1)
            \(body)
            """,
            name: "lock.guarded"
        )
    }
}

/// The keys of one locked resource.
struct LockKeys {
    let base: String

    init(prefix: String, resource: String) {
        base = Self.start(prefix) + RedisKeys.tag(resource)
    }

    private static func start(_ prefix: String) -> String { "\(prefix):lock:" }

    /// Returns the pattern of the holders' keys of all resources, for `SCAN`.
    static func holderPattern(prefix: String) -> String {
        let special: Set<Character> = ["*", "?", "[", "]", "\\"]
        let start = start(prefix).map { special.contains($0) ? "\\\($0)" : "\($0)" }.joined()
        return start + "{*}:l"
    }

    /// Returns the resource that a holder's key belongs to, or `nil` if it is not a holder's key.
    static func resource(ofHolderKey key: String, prefix: String) -> String? {
        let start = start(prefix)
        guard key.hasPrefix(start), key.hasSuffix(":l") else { return nil }
        return RedisKeys.segment(of: key.dropFirst(start.count).dropLast(2))
    }

    /// Creates the keys that belong to a holder's key. Returns `nil` if it is not a holder's key.
    init?(holderKey: Substring) {
        guard holderKey.hasSuffix(":l") else { return nil }
        base = String(holderKey.dropLast(2))
    }

    var holder: String { base + ":l" }
    var holderAndFence: [String] { [":l", ":f"].map { base + $0 } }
    var all: [String] { [":l", ":f", ":w", ":c", ":h"].map { base + $0 } }
}
