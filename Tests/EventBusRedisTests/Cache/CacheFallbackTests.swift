import EventBus
import EventBusInMemory
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Computations while Redis cannot be reached, of which a limited number runs at once.
    @Suite(.timeLimit(.minutes(1)))
    struct CacheFallbackTests {
        private let options = CacheOptions(ttl: .seconds(60), computeTimeout: .seconds(10))

        /// Returns a cache whose server does not exist.
        private func cache(limit: Int = 64) throws -> RedisCache {
            let configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: try freePort()))
            return RedisCache(
                try RedisClient(configuration, logger: .silent),
                options: RedisCacheOptions(maximumConcurrentFallbacks: limit)
            )
        }

        private func ask(
            _ cache: any Cache,
            _ key: String,
            _ compute: @Sendable @escaping () async throws -> Int
        ) async throws -> Int {
            try await cache.value(for: key, as: Int.self, options: options, compute: compute)
        }

        @Test func `a computation may ask for another key, also if only one may run at a time`() async throws {
            let cache = try cache(limit: 1)
            let value = try await ask(cache, "a") { try await ask(cache, "b") { try await ask(cache, "c") { 1 } } }
            #expect(value == 1)
        }

        @Test func `more computations than may run at once may each ask for another key`() async throws {
            let cache = try cache()
            let arrived = Shared(0)
            let all = Signal()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let value = try await ask(cache, "outer-\(number)") {
                            arrived.change { $0 += 1 }
                            if arrived.value == 64 { all.raise() }
                            // All permits are taken by then.
                            try await all.wait()
                            return try await ask(cache, "inner-\(number)") { number }
                        }
                        #expect(value == number)
                    }
                }
                try await group.waitForAll()
            }
        }

        @Test(arguments: [true, false])
        func `a computation may ask for a key that another caller has asked for first`(isDirect: Bool) async throws {
            let cache = try cache(limit: 1)
            // A computation of another cache may be in between.
            let between = InMemoryCache()
            let (isComputing, mayGoOn) = (Signal(), Signal())
            let inner: @Sendable () async throws -> Int = {
                if isDirect { return try await ask(cache, "b") { 2 } }
                return try await ask(between, "b") { try await ask(cache, "b") { 2 } }
            }
            let outer = Task {
                try await ask(cache, "a") {
                    isComputing.raise()
                    try await mayGoOn.wait()
                    return try await inner()
                }
            }
            try await isComputing.wait()
            let other = Task { try await inner() }
            try await eventually("the other should wait for its turn") { cache.gate.waitingCount == 1 }
            mayGoOn.raise()
            #expect(try await outer.value == 2)
            #expect(try await other.value == 2)
        }

        @Test func `a computation that has waited for another one is no reason for more than the limit later`()
            async throws
        {
            let cache = try cache(limit: 2)
            for number in 0..<10 {
                _ = try await ask(cache, "outer-\(number)") { try await ask(cache, "inner-\(number)") { number } }
            }
            let running = Shared((now: 0, most: 0))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        _ = try await ask(cache, "flat-\(number)") {
                            running.change { running in
                                running.now += 1
                                running.most = max(running.most, running.now)
                            }
                            for _ in 0..<20 { await Task.yield() }
                            running.change { $0.now -= 1 }
                            return number
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect((1...2).contains(running.value.most))
        }

        // MARK: values in memory

        private struct ComputeFailed: Error {}

        @Test func `a failed computation does not bring back what another process has removed`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let cache = RedisCache(try server.client())
            let other = RedisCache(try server.client())
            let stale = CacheOptions(ttl: .seconds(60), staleOnError: .seconds(600))
            for key in ["removed", "kept"] {
                try await other.set(5, for: key, options: stale)
                try await eventually("the value should come into memory") {
                    let value = try await cache.value(for: key, as: Int.self, options: stale) { -1 }
                    return value == 5 && cache.level.withTable { $0.entry(for: key, now: FirstLevelTable.now) } != nil
                }
            }
            // From now on the server tells nobody of changes, and answers everything else.
            _ = try await admin.send("ACL", "SETUSER", "default", "-subscribe", "-client|tracking")
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "pubsub"]))
            try await eventually("the memory should be incoherent") { cache.level.withTable { !$0.isCoherent } }
            try await other.remove("removed")
            await #expect(throws: ComputeFailed.self) {
                try await cache.value(for: "removed", as: Int.self, options: stale) { throw ComputeFailed() }
            }
            // What the server cannot be asked for is served from memory.
            server.kill()
            let value = try await cache.value(for: "kept", as: Int.self, options: stale) { throw ComputeFailed() }
            #expect(value == 5)
        }
    }
}
