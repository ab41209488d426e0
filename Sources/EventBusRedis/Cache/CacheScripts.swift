/// The server-side steps of the cache, each as one script.
///
/// An entry is a hash with these fields: `v` its bytes, or `n` if it records that there is no value; `z` the
/// decompressed size, if `v` is compressed; `s` the milliseconds that it is kept after it has become stale; `c` the
/// microseconds that it took to compute; and `t` its tags. It expires by its own time to live, so its age depends on
/// the server's clock alone. Beside it is the lease of the process that computes it, a hash of `token` and `t`. An
/// empty token means that a computation has just failed.
///
/// A tag is a key that contains its generation, a text that is never reused. `t` lists the keys of the tags, each with
/// its generation at the time of the lease. An entry or a lease counts as removed if one of its generations is no
/// longer that of the tag, or if the tag is unknown. Removing a tag therefore means deleting its key, and an eviction
/// has the same effect.
///
/// **Memory.** A server without free memory refuses a script at its first writing command, if that command may
/// allocate, and none of the later ones. A script that may allocate therefore begins its changes with a `SET … XX` of the
/// guard, a key that never exists.
enum CacheScripts {
    private static let common = """
        local function isCurrent(tags)
          if not tags then return true end
          local list = cjson.decode(tags)
          for index = 1, #list, 2 do
            if redis.call('GET', list[index]) ~= list[index + 1] then return false end
          end
          return true
        end
        -- The present generations of the tags in KEYS, from the fourth key on, each known for so many milliseconds at least.
        local function generations(life, seed)
          if #KEYS < 4 then return false end
          local list = {}
          for index = 4, #KEYS do
            local generation = redis.call('GET', KEYS[index])
            if not generation then
              local time = redis.call('TIME')
              generation = seed .. '.' .. time[1] .. '.' .. time[2]
              redis.call('SET', KEYS[index], generation, 'PX', string.format('%.0f', life * 2))
            elseif redis.call('PTTL', KEYS[index]) < tonumber(life) then
              -- Twice as long, so that it is seldom changed: each process is told of every change.
              redis.call('PEXPIRE', KEYS[index], string.format('%.0f', life * 2))
            end
            list[#list + 1] = KEYS[index]
            list[#list + 1] = generation
          end
          return cjson.encode(list)
        end
        local function refuseIfFull() redis.call('SET', KEYS[3], '', 'XX') end

        """

    /// The token of a lease that records that a computation has just failed.
    static let failed = ""

    /// The script that looks up an entry, and may take the lease for computing it.
    ///
    /// Keys: entry, lease, and, with a token, guard and tags. Arguments: the milliseconds past its freshness for which an entry is accepted, `1` if
    /// a recorded absence is accepted, the token of the caller that would compute the value (empty: none), the lease's
    /// milliseconds, and the milliseconds for which the tags have to be known.
    ///
    /// Returns `{'hit', v, fresh, s, c, z, t}`, `{'none', fresh, s, c, t}`, `{'compute'}`, `{'busy', milliseconds}`,
    /// `{'failed'}` or, without a token, `{'miss', token of the lease}`.
    static let look = RedisScript(
        common + """
            local entry = redis.call('HMGET', KEYS[1], 'v', 's', 'n', 'c', 'z', 't')
            local isRemoved = false
            if entry[2] then
              local fresh = redis.call('PTTL', KEYS[1]) - entry[2]
              if fresh + ARGV[1] > 0 and (entry[1] or ARGV[2] == '1') then
                if isCurrent(entry[6]) then
                  if entry[1] then return {'hit', entry[1], fresh, entry[2], entry[4], entry[5], entry[6]} end
                  return {'none', fresh, entry[2], entry[4], entry[6]}
                end
                isRemoved = true
              end
            end
            if ARGV[3] == '' then
              local lease = redis.call('HMGET', KEYS[2], 'token', 't')
              return {'miss', isCurrent(lease[2]) and lease[1]}
            end
            local holder = redis.call('HGET', KEYS[2], 'token')
            if holder == '' then return {'failed'} end
            if holder and holder ~= ARGV[3] then return {'busy', redis.call('PTTL', KEYS[2])} end
            refuseIfFull()
            if isRemoved then redis.call('DEL', KEYS[1]) end
            local tags = generations(ARGV[5], ARGV[3])
            redis.call('DEL', KEYS[2])
            redis.call('HSET', KEYS[2], 'token', ARGV[3])
            if tags then redis.call('HSET', KEYS[2], 't', tags) end
            redis.call('PEXPIRE', KEYS[2], ARGV[4])
            return {'compute'}
            """,
        name: "cache.look"
    )

    /// The script that renews a lease. Keys: lease. Arguments: token, milliseconds.
    static let renew = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return 0
        """,
        name: "cache.renew"
    )

    /// The script that gives up a lease and publishes that. Keys: lease. Arguments: token, channel, message, the
    /// milliseconds for which other processes are told that computing has failed (`0`: not at all).
    static let giveUp = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        if ARGV[4] == '0' then
          redis.call('DEL', KEYS[1])
        else
          -- Works where memory is full too, and takes none: it is less than the lease.
          redis.call('HDEL', KEYS[1], 't')
          redis.call('HSET', KEYS[1], 'token', '')
          redis.call('PEXPIRE', KEYS[1], ARGV[4])
        end
        redis.pcall('PUBLISH', ARGV[2], ARGV[3])
        return 1
        """,
        name: "cache.give_up"
    )

    /// The script that stores a value that was computed under a lease, or sets a value. Keys: entry, lease, guard, and the
    /// tags of a value that is set. Arguments: the lease's token (empty: set the value in any case, and notify the
    /// processes that compute it), milliseconds to keep, `s`, `v` or `n` (or `-` to store nothing), the bytes, channel,
    /// message, `c` and `z` (or empty), and a text that makes new generations unique. Returns whether the value was
    /// stored.
    static let store = RedisScript(
        common + """
            local tags = false
            if ARGV[1] ~= '' then
              local lease = redis.call('HMGET', KEYS[2], 'token', 't')
              if lease[1] ~= ARGV[1] then return 0 end
              if not isCurrent(lease[2]) then
                redis.call('DEL', KEYS[2])
                redis.pcall('PUBLISH', ARGV[6], ARGV[7])
                return 0
              end
              tags = lease[2]
            end
            if ARGV[4] == '-' then
              redis.call('DEL', KEYS[1], KEYS[2])
            else
              refuseIfFull()
              if ARGV[1] == '' then tags = generations(ARGV[2], ARGV[10]) end
              redis.call('DEL', KEYS[1], KEYS[2])
              redis.call('HSET', KEYS[1], ARGV[4], ARGV[5], 's', ARGV[3])
              if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'c', ARGV[8]) end
              if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'z', ARGV[9]) end
              if tags then redis.call('HSET', KEYS[1], 't', tags) end
              redis.call('PEXPIRE', KEYS[1], ARGV[2])
            end
            if ARGV[1] == '' or ARGV[4] == '-' then redis.pcall('PUBLISH', ARGV[6], ARGV[7]) end
            return 1
            """,
        name: "cache.store"
    )

    /// The script that removes an entry. Keys: entry, lease. Arguments: channel, message.
    static let remove = RedisScript(
        """
        local done = redis.call('DEL', KEYS[1], KEYS[2])
        redis.pcall('PUBLISH', ARGV[1], ARGV[2])
        return done
        """,
        name: "cache.remove"
    )

    /// The script that removes every entry with a tag, in a time that does not depend on their number. Keys: the tag.
    /// Arguments: channel, message.
    static let removeTag = RedisScript(
        """
        local done = redis.call('DEL', KEYS[1])
        redis.pcall('PUBLISH', ARGV[1], ARGV[2])
        return done
        """,
        name: "cache.remove_tag"
    )
}

/// The names of a cache's keys and channels.
struct CacheKeys: Sendable {
    let prefix: String

    /// The prefix of the entries' keys, and of no other keys.
    var entryPrefix: String { "\(prefix):cache:" }
    /// The prefix of the tags' keys, and of no other keys.
    var tagPrefix: String { "\(prefix):tag:" }
    var channel: String { "\(prefix):cache-void" }

    func entry(_ key: String) -> String { entryPrefix + RedisKeys.tag(key) }
    func lease(_ key: String) -> String { "\(prefix):fill:" + RedisKeys.tag(key) }
    func guardKey(_ key: String) -> String { lease(key) + ":g" }
    func tag(_ tag: String) -> String { tagPrefix + RedisKeys.tag(tag) }

    /// Returns the greatest size in bytes of a tag's key and its generation in the list of an entry's tags.
    static func listedSize(ofTag name: String) -> Int {
        // As the server's encoder for JSON escapes it.
        let escaped = name.utf8.reduce(0) { size, byte in
            switch byte {
            case 0..<0x20, 0x7F: size + 6
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): size + 2
            default: size + 1
            }
        }
        // Quotes, commas, and the generation: two random numbers and a time.
        return escaped + 64
    }

    /// Returns the cache key of an entry, given the name of its Redis key.
    func key(ofEntry name: String) -> String? {
        guard name.hasPrefix(entryPrefix) else { return nil }
        return RedisKeys.segment(of: name.dropFirst(entryPrefix.count))
    }
}
