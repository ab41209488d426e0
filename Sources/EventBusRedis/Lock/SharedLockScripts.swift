/// The server-side steps of a lock whose resources are shared, each as one script, with the arguments and results of
/// those in ``LockScripts``.
///
/// The keys of a resource: `:l` the holders' tokens, a sorted set by the end of their leases; `:f` the last fencing
/// token; `:w` the waiters, a sorted set by time of arrival; `:c` their processes, with the time until which each counts
/// as alive and whether it listens for messages; `:h` the waiters that were handed a share and have not taken it yet. A
/// token is `PROCESS.NUMBER.LIMIT`, where the limit is the greatest number of holders, or 0 for an exclusive one.
///
/// An exclusive holder is the only one, so the number of holders and one of their tokens tell whether there is room for
/// another. No script looks at more than 128 holders or 64 waiters. Those that are left over are looked at by the next.
enum SharedLockScripts {
    private static let common =
        """
        local L, F, W, C, H = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
        local time = redis.call('TIME')
        local us = time[1] * 1000000 + time[2]
        local now = math.floor(us / 1000)
        local function process(token) return string.match(token, '^[^.]*') end
        local function limit(token) return tonumber(string.match(token, '%.(%d+)$') or '0') end
        local function holds(token)
          local ends = redis.call('ZSCORE', L, token)
          return ends and tonumber(ends) > now
        end
        local function fence()
          local fence = math.max(tonumber(redis.call('GET', F) or '0') + 1, us)
          local text = string.format('%.0f', fence)
          -- Kept until the clock is an hour past it: from then on the clock itself stays ahead.
          local kept = 3600000 + math.max(0, math.ceil((fence - us) / 1000))
          redis.call('SET', F, text, 'PX', string.format('%.0f', kept))
          return text
        end
        local function admit(token, px)
          redis.call('ZADD', L, string.format('%.0f', now + px), token)
          if redis.call('PTTL', L) < px then redis.call('PEXPIRE', L, string.format('%.0f', px)) end
        end
        local function prune()
          local gone = redis.call('ZRANGEBYSCORE', L, '-inf', now, 'LIMIT', 0, 128)
          if #gone == 0 then return end
          redis.call('ZREM', L, unpack(gone))
          for _, token in ipairs(gone) do
            -- It was handed its share and did not come: its process is stopped, and so are its other waiters.
            local isLate = redis.call('SREM', H, token) == 1
            if isLate and process(token) ~= process(ARGV[1]) then redis.call('HDEL', C, process(token)) end
          end
        end
        local function hasRoom(token)
          local count = redis.call('ZCARD', L)
          if count == 0 then return true end
          local most = limit(token)
          if most == 0 or count >= most then return false end
          return limit(redis.call('ZRANGE', L, 0, 0)[1]) ~= 0
        end
        -- Kept for as long as a waiter may take to ask again.
        local function keep(key, alive)
          local kept = math.max(60000, tonumber(alive))
          if redis.call('PTTL', key) < kept then redis.call('PEXPIRE', key, string.format('%.0f', kept)) end
        end

        """ + LockScripts.queueFunctions + """
            local function handOver(px, channel)
              prune()
              for _ = 1, 64 do
                local head = redis.call('ZRANGE', W, 0, 0)[1]
                if not head then
                  redis.call('DEL', C)
                  return
                end
                local owner = process(head)
                local state = redis.call('HGET', C, owner)
                local alive, listens = string.match(state or '', '^(%d+)(.)')
                if alive and tonumber(alive) >= now then
                  -- Without messages, or the right to publish, the first waiter is granted its share when it asks.
                  if not hasRoom(head) or listens == '-' then return end
                  local reached = redis.pcall('PUBLISH', channel .. owner, head .. ' ' .. L)
                  if type(reached) == 'table' then return end
                  -- In a cluster it may have reached the subscribers of another node, which are not counted.
                  if listens == '~' then reached = 1 end
                  redis.call('ZREM', W, head)
                  if reached == 0 then
                    redis.call('HDEL', C, owner)
                  else
                    admit(head, px)
                    redis.call('SADD', H, head)
                    -- Both are kept for a while, so that a share that was not taken in time is noticed.
                    redis.call('PEXPIRE', H, string.format('%.0f', px + 60000))
                    if redis.call('PTTL', L) < px + 60000 then
                      redis.call('PEXPIRE', L, string.format('%.0f', px + 60000))
                    end
                  end
                else
                  redis.call('ZREM', W, head)
                  redis.call('HDEL', C, owner)
                end
              end
            end

            """

    /// The script that requests a share. Its result names the first waiter instead of the one that was handed the lock,
    /// so that its process wakes it if a message was lost.
    static let acquire = RedisScript(
        common + """
            local token, ttl, px = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
            local owner = process(token)
            local waits = ARGV[3] == '1'
            local function take()
              redis.call('ZREM', W, token)
              redis.call('SREM', H, token)
              forget(token)
              admit(token, ttl)
              return {1, fence()}
            end
            local function noteAlive()
              redis.call('HSET', C, owner, string.format('%.0f', now + ARGV[6]) .. ARGV[7])
              keep(C, ARGV[6])
            end
            if holds(token) then return take() end
            redis.call('ZADD', W, 'XX', 0, '')
            if waits then noteAlive() end
            local head = redis.call('ZRANGE', W, 0, 0)[1]
            if head and head ~= token then
              handOver(px, ARGV[5])
              if holds(token) then return take() end
              head = redis.call('ZRANGE', W, 0, 0)[1]
            end
            prune()
            if (not head or head == token) and hasRoom(token) then
              local answer = take()
              handOver(px, ARGV[5])
              return answer
            end
            if waits then
              if not redis.call('ZSCORE', W, token) then
                local last = redis.call('ZRANGE', W, -1, -1, 'WITHSCORES')[2]
                redis.call('ZADD', W, string.format('%.0f', math.max(us, tonumber(last or '0') + 1)), token)
              end
              -- A hand-over that emptied the queue has forgotten the processes.
              noteAlive()
              sweep()
              keep(W, ARGV[6])
            end
            local ends = redis.call('ZRANGE', L, 0, 0, 'WITHSCORES')[2]
            -- Without holders there is room, which the first waiter takes when it asks.
            return {0, ends and math.max(0, tonumber(ends) - now) or px, redis.call('ZRANGE', W, 0, 0)[1] or ''}
            """,
        name: "shared_lock.acquire"
    )

    /// The script that releases a share. Returns `released`, `foreign` if only others have shares, or `expired`.
    static let release = RedisScript(
        common + """
            local answer = holds(ARGV[1]) and 'released'
            redis.call('ZREM', L, ARGV[1])
            if not answer then answer = redis.call('ZCOUNT', L, '(' .. string.format('%.0f', now), '+inf') > 0 and 'foreign' or 'expired' end
            handOver(tonumber(ARGV[2]), ARGV[3])
            return answer
            """,
        name: "shared_lock.release"
    )

    /// The script that removes a waiter from the queue and releases what it holds or was handed.
    static let leave = RedisScript(
        common + """
            redis.call('ZREM', W, ARGV[1])
            forget(ARGV[1])
            redis.call('SREM', H, ARGV[1])
            redis.call('ZREM', L, ARGV[1])
            handOver(tonumber(ARGV[2]), ARGV[3])
            return 'left'
            """,
        name: "shared_lock.leave"
    )

    /// The script that returns a share that was handed to a waiter that is gone, unless it was taken after all.
    static let decline = RedisScript(
        common + """
            if redis.call('SREM', H, ARGV[1]) == 1 then
              redis.call('ZREM', L, ARGV[1])
              handOver(tonumber(ARGV[2]), ARGV[3])
            end
            return 'declined'
            """,
        name: "shared_lock.decline"
    )

    /// The script that renews a lease. Returns `renewed`, `foreign` if only others have shares, or `expired`.
    static let renew = RedisScript(
        """
        local time = redis.call('TIME')
        local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
        local ends, ttl = redis.call('ZSCORE', KEYS[1], ARGV[1]), tonumber(ARGV[2])
        if not ends or tonumber(ends) <= now then
          return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf') > 0 and 'foreign' or 'expired'
        end
        -- First, because a server without free memory refuses a script that begins with ZADD.
        redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(redis.call('PTTL', KEYS[1]), ttl)))
        redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', now + ttl), ARGV[1])
        return 'renewed'
        """,
        name: "shared_lock.renew"
    )
}
