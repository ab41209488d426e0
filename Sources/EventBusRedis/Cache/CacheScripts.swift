/// What the cache does on the server, each step as one script.
///
/// An entry is a hash: `v` its bytes, or `n` if there is no value, `z` how many bytes those in `v` stand for if they are
/// compressed, `s` for how many milliseconds it is kept after it has ceased to be fresh, `c` how many microseconds it took
/// to compute, and a field `t:TAG` for each tag. It expires when its milliseconds are over, so that its age is told by the
/// server's clock alone. Beside it lies the lease of whoever computes it, a hash of `token` and the tags.
enum CacheScripts {
    /// Keys: entry, lease. Arguments: how many milliseconds past its freshness an entry is good, `1` if that there is no
    /// value will do, the token of who would compute (empty: nobody), the lease's milliseconds, tags.
    ///
    /// Returns `{'hit', v, fresh, s, c, z}`, `{'none', fresh, s, c}`, `{'compute'}`, `{'busy', milliseconds}` or `{'miss'}`.
    static let look = RedisScript(
        """
        local entry = redis.call('HMGET', KEYS[1], 'v', 's', 'n', 'c', 'z')
        if entry[2] then
          local fresh = redis.call('PTTL', KEYS[1]) - entry[2]
          if fresh + ARGV[1] > 0 then
            if entry[1] then return {'hit', entry[1], fresh, entry[2], entry[4], entry[5]} end
            if ARGV[2] == '1' then return {'none', fresh, entry[2], entry[4]} end
          end
        end
        if ARGV[3] == '' then return {'miss'} end
        local holder = redis.call('HGET', KEYS[2], 'token')
        if holder and holder ~= ARGV[3] then return {'busy', redis.call('PTTL', KEYS[2])} end
        redis.call('DEL', KEYS[2])
        redis.call('HSET', KEYS[2], 'token', ARGV[3])
        for index = 5, #ARGV do redis.call('HSET', KEYS[2], 't:' .. ARGV[index], 1) end
        redis.call('PEXPIRE', KEYS[2], ARGV[4])
        return {'compute'}
        """
    )

    /// Keys: lease. Arguments: token, milliseconds.
    static let renew = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 0
        """
    )

    /// Gives a lease up and says so. Keys: lease. Arguments: token, channel, message.
    static let giveUp = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1])
        redis.pcall('PUBLISH', ARGV[2], ARGV[3])
        return 1
        """
    )

    /// Stores what was computed under a lease, or sets a value. Keys: entry, lease. Arguments: the lease's token (empty:
    /// set the value in any case, and tell those who compute), milliseconds to keep, `s`, `v` or `n` (or `-` to store
    /// nothing), the bytes, channel, message, `c` and `z` (or empty), tags. Returns whether it was stored.
    static let store = RedisScript(
        """
        if ARGV[1] ~= '' and redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1], KEYS[2])
        if ARGV[4] ~= '-' then
          redis.call('HSET', KEYS[1], ARGV[4], ARGV[5], 's', ARGV[3])
          if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'c', ARGV[8]) end
          if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'z', ARGV[9]) end
          for index = 10, #ARGV do redis.call('HSET', KEYS[1], 't:' .. ARGV[index], 1) end
          redis.call('PEXPIRE', KEYS[1], ARGV[2])
        end
        if ARGV[1] == '' or ARGV[4] == '-' then redis.pcall('PUBLISH', ARGV[6], ARGV[7]) end
        return 1
        """
    )

    /// Keys: entry, lease. Arguments: channel, message, and a tag to remove only what has it.
    static let remove = RedisScript(
        """
        local done = 0
        for _, key in ipairs(KEYS) do
          if not ARGV[3] or redis.call('HEXISTS', key, 't:' .. ARGV[3]) == 1 then
            done = done + redis.call('DEL', key)
          end
        end
        if not ARGV[3] or done > 0 then redis.pcall('PUBLISH', ARGV[1], ARGV[2]) end
        return done
        """
    )

    /// Notes that a key has a tag. Keys: the tag. Arguments: the key, for how many milliseconds.
    static let tag = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
        redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + ARGV[2]), ARGV[1])
        if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 1
        """
    )

    /// Sets the keys of a tag aside, so that those which get it from now on are not touched, and returns some of them;
    /// what an earlier removal did not finish is among them. Keys: the tag, the place aside. Argument: `1` to set aside.
    static let doom = RedisScript(
        """
        if ARGV[1] == '1' then
          redis.call('ZUNIONSTORE', KEYS[2], 2, KEYS[2], KEYS[1], 'AGGREGATE', 'MAX')
          redis.call('DEL', KEYS[1])
          redis.call('PEXPIRE', KEYS[2], 86400000)
        end
        return redis.call('ZRANGE', KEYS[2], 0, 999)
        """
    )
}

/// The names of a cache's keys and channels.
struct CacheKeys: Sendable {
    let prefix: String

    /// What the entries' keys begin with, and nothing else's.
    var entryPrefix: String { "\(prefix):cache:" }
    var channel: String { "\(prefix):cache-void" }

    func entry(_ key: String) -> String { entryPrefix + RedisKeys.tag(key) }
    func lease(_ key: String) -> String { "\(prefix):fill:" + RedisKeys.tag(key) }
    func tag(_ tag: String) -> String { "\(prefix):tag:" + RedisKeys.tag(tag) }
    func doomed(_ tag: String) -> String { "\(prefix):doomed:" + RedisKeys.tag(tag) }

    /// The key of an entry that the server names.
    func key(ofEntry name: String) -> String? {
        guard name.hasPrefix(entryPrefix) else { return nil }
        return RedisKeys.segment(of: name.dropFirst(entryPrefix.count))
    }
}
