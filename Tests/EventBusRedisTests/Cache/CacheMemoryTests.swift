import EventBus
import MetricsTestKit
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A server without free memory that evicts nothing.
    @Suite(.timeLimit(.minutes(2)))
    struct CacheMemoryTests {
        private struct Failed: Error {}

        private static let limit = 5 << 20

        private func fullServer() async throws -> (server: RedisServer, admin: RedisClient) {
            let server = try await RedisServer("--maxmemory", "\(Self.limit)", "--maxmemory-policy", "noeviction")
            return (server, try server.client())
        }

        private func usedMemory(_ admin: RedisClient) async throws -> Int {
            let info = try await admin.send(RedisCommand("INFO", ["memory"])).text ?? ""
            let name = "used_memory:"
            let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
            return try #require(line.flatMap { Int($0.dropFirst(name.count)) })
        }

        /// Fills the server to its limit.
        private func fill(_ admin: RedisClient) async throws {
            var (number, size) = (0, 16 << 10)
            while true {
                do {
                    let bytes = RedisArgument.bytes([UInt8](repeating: 1, count: size))
                    _ = try await admin.send(RedisCommand("SET", [.text("filler-\(number)"), bytes]))
                    number += 1
                } catch let error as EventBusError where error.isOutOfMemory {
                    // Small frees in between do not count.
                    if size <= 64 { return }
                    size /= 4
                }
            }
        }

        @Test func `a cache does not take a server beyond its memory, and each refusal is told and counted`()
            async throws
        {
            let (server, admin) = try await fullServer()
            let metrics = TestMetrics()
            let options = RedisCacheOptions(compressionThreshold: nil)
            let cache = RedisCache(try server.client(), options: options, metrics: metrics)
            let value = String(repeating: "x", count: 10_000)
            let tagged = CacheOptions(tags: ["shelf"])
            var refused = 0
            for number in 0..<2000 {
                do {
                    try await cache.set(
                        value,
                        for: "key-\(number)",
                        options: number.isMultiple(of: 2) ? tagged : CacheOptions()
                    )
                } catch let error as EventBusError {
                    #expect(error.isOutOfMemory, "\(error)")
                    refused += 1
                }
            }
            #expect(refused > 1000)
            #expect(try await usedMemory(admin) < Self.limit + (1 << 20))
            let errors = try metrics.expectCounter("eventbus.cache.errors", [("cache", "eventbus")])
            #expect(errors.totalValue == refused)
        }

        @Test func `from a full server callers get what they computed, and hits are served`() async throws {
            let (server, admin) = try await fullServer()
            let cache = RedisCache(try server.client(), options: RedisCacheOptions(firstLevelCapacity: 0))
            try await cache.set("kept", for: "kept")
            try await fill(admin)
            let before = try await usedMemory(admin)
            for number in 0..<500 {
                let key = "computed-\(number)"
                let value = try await cache.value(
                    for: key,
                    as: String.self,
                    options: CacheOptions(tags: ["tag-\(number)"])
                ) { key }
                #expect(value == key)
            }
            #expect(try await cache.value(for: "kept", as: String.self) { "computed" } == "kept")
            #expect(try await usedMemory(admin) < before + (200 << 10))
        }

        @Test func `a full server still removes, by key and by tag, and gives up leases`() async throws {
            let (server, admin) = try await fullServer()
            let cache = RedisCache(try server.client())
            let tagged = CacheOptions(tags: ["shelf"])
            try await cache.set(1, for: "by-key")
            try await cache.set(1, for: "by-tag", options: tagged)
            let (started, goOn) = (Signal(), Signal())
            let computing = Task {
                try await cache.value(for: "computing", as: Int.self) {
                    started.raise()
                    try await goOn.wait()
                    throw Failed()
                }
            }
            try await started.wait()
            try await fill(admin)
            try await cache.remove("by-key")
            try await cache.removeAll(tag: "shelf")
            #expect(try await cache.value(for: "by-key", as: Int.self) { 2 } == 2)
            #expect(try await cache.value(for: "by-tag", as: Int.self, options: tagged) { 2 } == 2)
            goOn.raise()
            await #expect(throws: Failed.self) { try await computing.value }
            try await eventually("the lease should be given up") {
                try await admin.send(RedisCommand("HGET", [.text(cache.keys.lease("computing")), "token"])).text ?? ""
                    == ""
            }
        }

        @Test func `a value that a full server refuses leaves nothing older in its place`() async throws {
            let (server, admin) = try await fullServer()
            let cache = RedisCache(try server.client())
            try await cache.set("old", for: "key")
            try await fill(admin)
            await #expect(throws: EventBusError.self) { try await cache.set("new", for: "key") }
            #expect(try await cache.value(for: "key", as: String.self) { "computed" } == "computed")
        }
    }
}
