import EventBus
import MetricsTestKit
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(1)))
    struct CacheMetricsTests {
        private struct ComputeFailed: Error {}

        private func figures(_ metrics: TestMetrics) throws -> [String: Int64] {
            func figure(_ name: String, _ level: String? = nil) throws -> Int64 {
                let dimensions = [("cache", "counted")] + (level.map { [("level", $0)] } ?? [])
                return try metrics.expectCounter("eventbus.cache.\(name)", dimensions).totalValue
            }
            var figures = ["first": try figure("hits", "first"), "redis": try figure("hits", "redis")]
            for name in ["misses", "computes", "waits", "stale", "errors"] { figures[name] = try figure(name) }
            return figures.filter { $0.value != 0 }
        }

        private func cache(_ client: RedisClient, _ metrics: TestMetrics, firstLevel: Int = 100) -> RedisCache {
            RedisCache(
                client,
                options: RedisCacheOptions(prefix: "counted", firstLevelCapacity: firstLevel),
                metrics: metrics
            )
        }

        @Test func `hits are counted by their level, misses and computations as they are`() async throws {
            let server = try await RedisServer()
            let metrics = TestMetrics()
            let other = TestMetrics()
            let cache = cache(try server.client(), metrics)
            let afar = self.cache(try server.client(), other, firstLevel: 0)
            #expect(try await afar.value(for: "key", as: Int.self) { 1 } == 1)
            #expect(try figures(other) == ["misses": 1, "computes": 1])
            for _ in 0..<3 { _ = try await afar.value(for: "key", as: Int.self) { -1 } }
            #expect(try figures(other) == ["misses": 1, "computes": 1, "redis": 3])

            try await eventually("the value should come into memory") {
                _ = try await cache.value(for: "key", as: Int.self) { -1 }
                return try figures(metrics)["first"] == 1
            }
            let before = try figures(metrics)
            #expect(before["misses"] == nil)
            for _ in 0..<5 { _ = try await cache.value(for: "key", as: Int.self) { -1 } }
            let keys = ["key", "more"]
            _ = try await cache.values(for: keys, as: Int.self) { _ in ["more": 2] }
            var expected = before
            expected["first"] = 7
            expected["misses"] = 1
            expected["computes"] = 1
            #expect(try figures(metrics) == expected)
        }

        @Test func `stale values, waits for others and failures of the server are counted`() async throws {
            let server = try await RedisServer()
            let metrics = TestMetrics()
            let cache = cache(try server.client(), metrics, firstLevel: 0)
            var options = CacheOptions(ttl: .milliseconds(1), jitter: 0, staleOnError: .seconds(60), failureTTL: .zero)
            try await cache.set(1, for: "stale", options: options)
            try await eventually("the value should be stale") {
                let left = try await cache.client.send(RedisCommand("PTTL", [.text(cache.keys.entry("stale"))]))
                return left.integer ?? 0 < 60_000
            }
            #expect(try await cache.value(for: "stale", as: Int.self, options: options) { throw ComputeFailed() } == 1)
            #expect(try figures(metrics) == ["misses": 1, "computes": 1, "stale": 1, "redis": 1])
            options.staleWhileRevalidate = .seconds(60)
            #expect(try await cache.value(for: "stale", as: Int.self, options: options) { 2 } == 1)
            #expect(try figures(metrics)["stale"] == 2)
            try await eventually("it should be computed behind") { try figures(metrics)["computes"] == 2 }

            let computing = Shared(false)
            let isDone = Shared(false)
            let other = self.cache(try server.client(), TestMetrics())
            async let first = other.value(for: "waited", as: Int.self) {
                computing.change { $0 = true }
                try await eventually("the other should wait") { isDone.value }
                return 3
            }
            try await eventually("the other should compute") { computing.value }
            async let second = cache.value(for: "waited", as: Int.self) { -1 }
            try await eventually("it should wait") { try figures(metrics)["waits"] ?? 0 > 0 }
            isDone.change { $0 = true }
            #expect(try await first == 3)
            #expect(try await second == 3)
            #expect(try figures(metrics)["computes"] == 2)
            #expect(try figures(metrics)["errors"] == nil)

            server.kill()
            #expect(try await cache.value(for: "alone", as: Int.self) { 4 } == 4)
            #expect(try figures(metrics)["errors"] ?? 0 > 0)
        }
    }
}
