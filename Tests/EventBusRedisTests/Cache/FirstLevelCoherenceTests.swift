import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The maximum delay of the first level behind the server.
    @Suite(.timeLimit(.minutes(2)))
    struct FirstLevelCoherenceTests {
        private let long = CacheOptions(ttl: .seconds(60))

        private func ask(_ cache: RedisCache, _ key: String, else computed: Int = -1) async throws -> Int {
            try await cache.value(for: key, as: Int.self, options: long) { computed }
        }

        /// Waits until `expected` is served from memory.
        private func warm(_ cache: RedisCache, _ key: String, _ expected: Int) async throws {
            try await eventually("the value should come into memory") {
                try await ask(cache, key) == expected && cache.holds(key)
            }
        }

        @Test func `a write elsewhere is soon read, and no reading goes back behind one before it`() async throws {
            let server = try await RedisServer()
            let cache = RedisCache(try server.client())
            let other = RedisCache(try server.client())
            let rounds = 100
            try await other.set(0, for: "watched", options: long)
            try await warm(cache, "watched", 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for round in 1...rounds {
                        try await other.set(round, for: "watched", options: long)
                        // Otherwise there would be nothing stale in memory. It asks by itself, because the other task
                        // ends with the last value, which an invalidation may keep out of memory once.
                        try await warm(cache, "watched", round)
                    }
                }
                group.addTask {
                    var value = 0
                    while value < rounds {
                        let next = try await ask(cache, "watched")
                        try #require(next >= value)
                        value = next
                        await Task.yield()
                    }
                }
                try await group.waitForAll()
            }
        }

        @Test func `nothing is served from memory once the messages have stopped, and it is again when they are back`()
            async throws
        {
            let server = try await RedisServer()
            let client = try server.client()
            let cache = RedisCache(client)
            for round in 0..<20 {
                try await cache.set(round, for: "killed", options: long)
                try await warm(cache, "killed", round)
                // On the connection of the cache, on its thread. When the second reply arrives, the end of the other
                // socket has been detected.
                _ = try await client.send(RedisCommand("CLIENT", ["KILL", "TYPE", "pubsub"]))
                _ = try await client.send(RedisCommand("DEL", [.text(cache.keys.entry("killed"))]))
                let value = try await ask(cache, "killed", else: 1000 + round)
                try #require(value == 1000 + round)
                try await warm(cache, "killed", 1000 + round)
            }
        }

        @Test func `a black-holed socket for messages hides a write only until its heartbeat is missed`() async throws {
            let server = try await RedisServer()
            let relay = try MessageRelay(to: server.port)
            let cache = RedisCache(
                try server.client {
                    $0.endpoint = .tcp(host: "127.0.0.1", port: relay.port)
                    $0.heartbeat = .milliseconds(400)
                    $0.connectTimeout = .milliseconds(500)
                }
            )
            let other = RedisCache(try server.client())
            try await other.set(1, for: "hidden", options: long)
            try await warm(cache, "hidden", 1)

            relay.swallow(true)
            try await other.set(2, for: "hidden", options: long)
            #expect(try await ask(cache, "hidden") == 1, "the write was not hidden, so this shows nothing")
            // Long before the entry's own time is over.
            try await eventually("the write should be seen") { try await ask(cache, "hidden") == 2 }
            for round in 3..<50 {
                try await other.set(round, for: "hidden", options: long)
                let value = try await ask(cache, "hidden")
                try #require(value == round)
            }

            relay.swallow(false)
            try await warm(cache, "hidden", 49)
        }
    }
}

extension RedisCache {
    /// Returns whether a value for `key` could be served from memory now.
    fileprivate func holds(_ key: String) -> Bool {
        level.withTable { $0.entry(for: key, now: FirstLevelTable.now) != nil }
    }
}
