import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A tag knows every entry that has it, for the lifetime of the entry.
    @Suite(.timeLimit(.minutes(1)))
    struct CacheTagTests {
        @Test func `a tag knows its entries until they end, whatever the jitter draws`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let cache = RedisCache(try server.client())
            var options = CacheOptions(ttl: .seconds(600), jitter: 0.9, tags: ["drawn"], computeTimeout: .seconds(1))
            let keys = (0..<50).map { "drawn-\($0)" }
            for key in keys { _ = try await cache.value(for: key, as: Int.self, options: options) { 1 } }
            try await expectKnown(keys, to: "drawn", cache.keys, client)

            // The absence of a value may be cached for longer than a value.
            options.ttl = .seconds(1)
            options.negativeTTL = .seconds(600)
            options.tags = ["absent"]
            _ = try await cache.value(for: "absent", as: Int.self, options: options) { nil as Int? }
            try await expectKnown(["absent"], to: "absent", cache.keys, client)

            options.tags = ["given"]
            for key in keys { try await cache.set(2, for: key, options: options) }
            try await expectKnown(keys, to: "given", cache.keys, client)
        }

        private func expectKnown(
            _ keys: [String],
            to tag: String,
            _ names: CacheKeys,
            _ client: RedisClient
        ) async throws {
            let tagLeft = try await client.send(RedisCommand("PTTL", [.text(names.tag(tag))])).integer ?? 0
            for key in keys {
                let left = try await client.send(RedisCommand("PTTL", [.text(names.entry(key))])).integer ?? 0
                #expect(tagLeft >= left, "\(key) outlives its tag's knowledge of it")
            }
        }

        @Test func `a removed tag is removed whatever the server evicted`() async throws {
            let server = try await RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
            let cache = RedisCache(try server.client(), options: RedisCacheOptions(firstLevelCapacity: 0))
            let admin = try server.client()
            let tags = (0..<20).map { "tag-\($0)" }
            for number in 0..<200 {
                try await cache.set(
                    number,
                    for: "entry-\(number)",
                    options: CacheOptions(ttl: .seconds(600), tags: [tags[number % 20]])
                )
            }
            // The entries are used and the tags are not. Then memory runs out.
            for round in 0..<6 {
                for number in 0..<200 {
                    _ = try await admin.send(RedisCommand("HGET", [.text(cache.keys.entry("entry-\(number)")), "v"]))
                }
                for filler in 0..<200 {
                    let bytes = [UInt8](repeating: 1, count: 4000)
                    _ = try await admin.send(RedisCommand("SET", [.text("filler-\(round)-\(filler)"), .bytes(bytes)]))
                }
            }
            // Otherwise there is nothing that could be served, or nothing that a removal could miss.
            let names = (0..<200).map { cache.keys.entry("entry-\($0)") }
            #expect(try await existing(names, admin) > 0, "all entries were evicted")
            #expect(try await existing(tags.map(cache.keys.tag), admin) < tags.count, "no tag was evicted")
            for tag in tags { try await cache.removeAll(tag: tag) }
            var served = 0
            for number in 0..<200 {
                let options = CacheOptions(tags: [tags[number % 20]])
                if try await cache.value(for: "entry-\(number)", as: Int.self, options: options, compute: { -1 }) != -1
                {
                    served += 1
                }
            }
            #expect(served == 0)
        }

        /// Returns the number of the keys that exist.
        private func existing(_ keys: [String], _ admin: RedisClient) async throws -> Int {
            Int(try await admin.send(RedisCommand("EXISTS", keys.map { .text($0) })).integer ?? 0)
        }

        @Test func `an entry whose tag was evicted is not served`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let cache = RedisCache(client, options: RedisCacheOptions(firstLevelCapacity: 0))
            let tagged = CacheOptions(ttl: .seconds(600), tags: ["one", "two"])
            try await cache.set(1, for: "key", options: tagged)
            #expect(try await cache.value(for: "key", as: Int.self, options: tagged) { 2 } == 1)
            _ = try await client.send(RedisCommand("DEL", [.text(cache.keys.tag("two"))]))
            #expect(try await cache.value(for: "key", as: Int.self, options: tagged) { 2 } == 2)
        }

        @Test func `removing a tag takes no time on the server whatever has it, and frees its name for new entries`()
            async throws
        {
            let server = try await RedisServer()
            let client = try server.client()
            // On a busy machine a batch takes longer.
            let patient = RedisCacheOptions(readTimeout: .seconds(30))
            let (cache, other) = (
                RedisCache(client, options: patient), RedisCache(try server.client(), options: patient)
            )
            let tags = ["big", "large", "huge"]
            let tagged = CacheOptions(ttl: .seconds(600), tags: Set(tags))
            let keys = (0..<5000).map { "big-\($0)" }
            for start in stride(from: 0, to: keys.count, by: 500) {
                let part = Array(keys[start..<start + 500])
                _ = try await cache.values(for: part, as: Int.self, options: tagged) { missing in
                    Dictionary(uniqueKeysWithValues: missing.map { ($0, 1) })
                }
            }
            // One value is in the memory of another process.
            try await eventually("the other process should keep a value in memory") {
                _ = try await other.value(for: "big-0", as: Int.self, options: tagged) { 0 }
                return other.cachedValue(for: "big-0", as: Int.self, options: tagged) != nil
            }
            // Everything is slow for the log, which has the time of each call on the server.
            let admin = try server.client()
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "slowlog-log-slower-than", "0"]))
            _ = try await admin.send(RedisCommand("SLOWLOG", ["RESET"]))
            for tag in tags {
                // No list of the entries, which would have to be freed.
                let size = try await admin.send(RedisCommand("MEMORY", ["USAGE", .text(cache.keys.tag(tag))])).integer
                #expect((1...500).contains(size ?? 0))
                try await cache.removeAll(tag: tag)
            }
            let calls = try await admin.send(RedisCommand("SLOWLOG", ["GET", "-1"])).array ?? []
            let removals = calls.filter { call in
                let words = call.array.map { $0.count > 3 ? $0[3].array ?? [] : [] } ?? []
                return words.contains { $0.text == CacheScripts.removeTag.digest }
            }
            let times = removals.compactMap { $0.array?[2].integer }
            #expect(times.count == tags.count)
            // Removing each of the entries would take several milliseconds. On a busy machine one call may be interrupted.
            #expect(times.min() ?? .max < 2000, "\(times) µs")
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "slowlog-log-slower-than", "-1"]))
            try await eventually("the other process should hear of it") {
                other.cachedValue(for: "big-0", as: Int.self, options: tagged) == nil
            }
            for key in ["big-0", "big-2500", "big-4999"] {
                #expect(try await cache.value(for: key, as: Int.self, options: tagged) { 2 } == 2)
                #expect(try await other.value(for: key, as: Int.self, options: tagged) { 3 } == 2)
            }
        }

        @Test func `what no tag could note is not stored, since no removal would find it`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            _ = try await admin.send(
                RedisCommand("ACL", ["SETUSER", "tagless", "on", ">secret", "~*:cache:*", "~*:fill:*", "&*", "+@all"])
            )
            let cache = RedisCache(
                try server.client {
                    $0.credentials = .init(user: "tagless", password: "secret")
                }
            )
            let tagged = CacheOptions(tags: ["shelf"])
            #expect(try await cache.value(for: "book", as: Int.self, options: tagged) { 1 } == 1)
            try await eventually("the lease should be given up") {
                try await admin.send(RedisCommand("EXISTS", [.text(cache.keys.lease("book"))])).integer == 0
            }
            #expect(try await admin.send(RedisCommand("EXISTS", [.text(cache.keys.entry("book"))])).integer == 0)
            try await RedisCache(admin).removeAll(tag: "shelf")
            #expect(try await cache.value(for: "book", as: Int.self, options: tagged) { 2 } == 2)
            // Without a tag there is no problem.
            _ = try await cache.value(for: "book", as: Int.self) { 3 }
            #expect(try await cache.value(for: "book", as: Int.self) { 4 } == 3)
        }
    }
}
