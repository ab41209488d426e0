import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisCacheTests {
        private let long = CacheOptions(ttl: .seconds(60))

        private struct ComputeFailed: Error {}

        /// Reads until the value is served from memory, because every read from the server counts.
        private func warm(_ cache: RedisCache, _ key: String, _ expected: Int) async throws {
            try await eventually("the value should come into memory") {
                let value = try await cache.value(for: key, as: Int.self, options: long) { -1 }
                return value == expected
                    && cache.level.withTable { $0.entry(for: key, now: FirstLevelTable.now) } != nil
            }
        }

        @Test func `a server that dies under load costs no caller an error`() async throws {
            let server = try await RedisServer()
            let cache = RedisCache(try server.client { $0.commandTimeout = .milliseconds(500) })
            let served = Shared(0)
            let isOver = Shared(false)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<16 {
                    group.addTask {
                        var round = 0
                        while !isOver.value {
                            round += 1
                            let expected = round % 50
                            let value = try await cache.value(for: "load-\(worker)-\(expected)", as: Int.self) {
                                expected
                            }
                            #expect(value == expected)
                            served.change { $0 += 1 }
                        }
                    }
                }
                group.addTask {
                    func expectCalls() async throws {
                        let before = served.value
                        try await eventually("calls should go on") { served.value > before + 500 }
                    }
                    try await expectCalls()
                    for _ in 0..<2 {
                        server.kill()
                        try await expectCalls()
                        try await server.start()
                        try await expectCalls()
                    }
                    isOver.change { $0 = true }
                }
                try await group.waitForAll()
            }
        }

        @Test func `a server that does not answer delays a caller by its timeouts only`() async throws {
            let server = try await RedisServer()
            let cache = RedisCache(
                try server.client {
                    $0.commandTimeout = .seconds(600)
                    $0.heartbeat = .seconds(600)
                },
                options: RedisCacheOptions(readTimeout: .milliseconds(100))
            )
            _ = try await cache.value(for: "warm-up", as: Int.self) { 1 }
            server.pause()
            #expect(try await cache.value(for: "black hole", as: Int.self) { 7 } == 7)
            server.resume()
        }

        @Test func `hits in memory do not reach the server, and a change made by anyone is seen`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let cache = RedisCache(try server.client())
            let other = RedisCache(try server.client())
            try await other.set(1, for: "shared", options: long)
            try await warm(cache, "shared", 1)

            func scriptCalls() async throws -> String? {
                let info = try await client.send(RedisCommand("INFO", ["commandstats"])).text ?? ""
                return info.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_evalsha:") }
                    .map { String($0.prefix { $0 != "," }) }
            }
            let before = try await scriptCalls()
            for _ in 0..<100 {
                #expect(try await cache.value(for: "shared", as: Int.self, options: long) { -1 } == 1)
            }
            #expect(try await scriptCalls() == before)

            for round in 2..<20 {
                try await other.set(round, for: "shared", options: long)
                try await warm(cache, "shared", round)
            }
            // By hand, bypassing all caches.
            _ = try await client.send(RedisCommand("DEL", [.text(cache.keys.entry("shared"))]))
            try await eventually("a deletion by hand should be seen") {
                try await cache.value(for: "shared", as: Int.self, options: long) { 99 } == 99
            }
            try await warm(cache, "shared", 99)
            _ = try await client.send(RedisCommand("FLUSHALL"))
            try await eventually("a flush of the database should be seen") {
                try await cache.value(for: "shared", as: Int.self, options: long) { 100 } == 100
            }
        }

        @Test func `what is in memory is served when neither server nor computation work`() async throws {
            let server = try await RedisServer()
            let cache = RedisCache(try server.client())
            let options = CacheOptions(ttl: .seconds(30), staleOnError: .seconds(60))
            try await cache.set(5, for: "fallback", options: options)
            try await warm(cache, "fallback", 5)
            server.kill()
            try await eventually("the loss of the server should be noticed") {
                cache.level.withTable { !$0.isCoherent }
            }
            let value = try await cache.value(for: "fallback", as: Int.self, options: options) { throw ComputeFailed() }
            #expect(value == 5)
            await #expect(throws: ComputeFailed.self) {
                try await cache.value(for: "fallback", as: Int.self, options: long) { throw ComputeFailed() }
            }
        }

        @Test func `without a server values are computed a few at a time, and changes say that they failed`()
            async throws
        {
            let configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: try freePort()))
            let cache = RedisCache(
                try RedisClient(configuration, logger: .silent),
                options: RedisCacheOptions(maximumConcurrentFallbacks: 3)
            )
            let running = Shared((now: 0, most: 0))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let value = try await cache.value(for: "alone-\(number)", as: Int.self) {
                            running.change { running in
                                running.now += 1
                                running.most = max(running.most, running.now)
                            }
                            for _ in 0..<20 { await Task.yield() }
                            running.change { $0.now -= 1 }
                            return number
                        }
                        #expect(value == number)
                    }
                }
                try await group.waitForAll()
            }
            #expect((1...3).contains(running.value.most))
            for change in [{ try await cache.remove("x") }, { try await cache.set(1, for: "x") }] {
                do {
                    try await change()
                    Issue.record("a change that reached nobody returned")
                } catch let error as EventBusError {
                    #expect(error.code == .unavailable)
                }
            }
        }

        @Test func `any text serves as a key, and the server's name leads back to it`() async throws {
            let keys = CacheKeys(prefix: "p")
            for key in ["", "a", "{a}", "}{", "%7d", "a:b", "5:a", "é\n \0", "100%"] {
                #expect(keys.key(ofEntry: keys.entry(key)) == key)
            }
            #expect(RedisKeys.tag("a", "bc") != RedisKeys.tag("ab", "c"))
            #expect(RedisKeys.tag("}x").filter { $0 == "}" }.count == 1)
            #expect(keys.key(ofEntry: "p:cache:{x") == nil)
            #expect(keys.key(ofEntry: "other") == nil)
        }
    }
}
