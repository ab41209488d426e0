import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A tag has to know every entry that has it, for as long as the entry is there.
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

            // That there is no value may be remembered for longer than a value.
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
            for key in keys {
                let time = try await client.send(RedisCommand("TIME")).array?.compactMap {
                    $0.text.flatMap { Double($0) }
                }
                let parts = try #require(time?.count == 2 ? time : nil)
                let now = parts[0] * 1000 + parts[1] / 1000
                let left = try await client.send(RedisCommand("PTTL", [.text(names.entry(key))])).integer ?? 0
                let score = try await client.send(RedisCommand("ZSCORE", [.text(names.tag(tag)), .text(key)])).text
                let forgotten = try #require(score.flatMap { Double($0) }, "\(key) of \(tag), \(left) ms")
                // The clock's milliseconds, cut off twice.
                #expect(forgotten - now >= Double(left) - 5, "\(key) outlives its tag's knowledge of it")
            }
            let tagLeft = try await client.send(RedisCommand("PTTL", [.text(names.tag(tag))])).integer ?? 0
            for key in keys {
                let left = try await client.send(RedisCommand("PTTL", [.text(names.entry(key))])).integer ?? 0
                #expect(tagLeft >= left - 5)
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
                    $0.username = "tagless"
                    $0.password = "secret"
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
            // Without a tag nothing is amiss.
            _ = try await cache.value(for: "book", as: Int.self) { 3 }
            #expect(try await cache.value(for: "book", as: Int.self) { 4 } == 3)
        }
    }
}
