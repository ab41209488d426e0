import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The format of an entry on the server, and the treatment of entries in another format.
    @Suite(.timeLimit(.minutes(1)))
    struct CacheStorageTests {
        private let text = String(repeating: "all work and no play ", count: 1000)
        private let long = CacheOptions(ttl: .seconds(60))

        /// Returns a cache that asks the server each time.
        private func cache(
            _ server: RedisServer,
            compressionThreshold: Int? = 4096,
            _ change: (inout RedisConfiguration) -> Void = { _ in }
        ) throws -> RedisCache {
            RedisCache(
                try server.client(change),
                options: RedisCacheOptions(firstLevelCapacity: 0, compressionThreshold: compressionThreshold)
            )
        }

        private func field(_ name: String, of key: String, _ cache: RedisCache) async throws -> RedisValue {
            try await cache.client.send(RedisCommand("HGET", [.text(cache.keys.entry(key)), .text(name)]))
        }

        @Test func `a large value is stored small, and read by who compresses and by who does not`() async throws {
            let server = try await RedisServer()
            let compressing = try cache(server)
            let plain = try cache(server, compressionThreshold: nil)
            try await compressing.set(text, for: "set", options: long)
            _ = try await compressing.value(for: "computed", as: String.self, options: long) { [text] in text }
            try await plain.set(text, for: "plain", options: long)
            for key in ["set", "computed"] {
                let bytes = try #require(try await field("v", of: key, compressing).bytes)
                #expect(bytes.count < text.utf8.count / 10)
                #expect(try await field("z", of: key, compressing).text == "\(text.utf8.count + 2)")
            }
            #expect(try await field("v", of: "plain", plain).bytes?.count == text.utf8.count + 2)
            #expect(try await field("z", of: "plain", plain) == .null)
            for key in ["set", "computed", "plain"] {
                for cache in [compressing, plain] {
                    #expect(try await cache.value(for: key, as: String.self, options: long) { "anew" } == text)
                }
            }
            // A smaller value that replaces it does not inherit the mark.
            try await compressing.set("short", for: "set", options: long)
            #expect(try await plain.value(for: "set", as: String.self, options: long) { "anew" } == "short")
        }

        @Test func `bytes that are not what they claim to be are computed anew`() async throws {
            let server = try await RedisServer()
            let cache = try cache(server)
            for claim in ["0", "-1", "7", "99999999999", "9223372036854775807", "much"] {
                try await cache.set(text, for: "claimed", options: long)
                let arguments: [RedisArgument] = [.text(cache.keys.entry("claimed")), "z", .text(claim)]
                _ = try await cache.client.send(RedisCommand("HSET", arguments))
                #expect(
                    try await cache.value(for: "claimed", as: String.self, options: long) { "anew" } == "anew",
                    "\(claim)"
                )
                #expect(try await cache.value(for: "claimed", as: String.self, options: long) { "again" } == "anew")
            }
        }

        @Test func `a value that nobody could read again is served, and not stored`() async throws {
            let server = try await RedisServer()
            let cache = try cache(server) { $0.maximumReplySize = 16 * 1024 }
            // Compressed or not, it would have to fit into memory when it is read.
            let huge = try await cache.value(for: "huge", as: String.self, options: long) { [text] in text }
            #expect(huge == text)
            #expect(try await cache.client.send(RedisCommand("EXISTS", [.text(cache.keys.entry("huge"))])).integer == 0)
            do {
                try await cache.set(text, for: "huge", options: long)
                Issue.record("it was set")
            } catch let error as EventBusError {
                #expect(error.code == .tooLarge)
            }
            // The largest value that fits is stored and read on the same connection.
            let most = String(repeating: "x", count: 15 * 1024 - 2)
            let plain = try self.cache(server, compressionThreshold: nil) { $0.maximumReplySize = 16 * 1024 }
            try await plain.set(most, for: "most", options: long)
            #expect(try await plain.value(for: "most", as: String.self, options: long) { "anew" } == most)
        }

        @Test func `a value with so many or such long tags that nobody could read it again is served, and not stored`()
            async throws
        {
            let server = try await RedisServer()
            let cache = try cache(server, compressionThreshold: nil) { $0.maximumReplySize = 16 * 1024 }
            // Each is a byte of a key, and six of the list of tags.
            let tags = [
                Set((0..<40).map { "tag-\($0)-" + String(repeating: "t", count: 200) }),
                [String(repeating: "\u{1}", count: 1000)], [String(repeating: "/", count: 4000)],
            ]
            for (index, tags) in tags.enumerated() {
                let options = CacheOptions(ttl: .seconds(60), tags: tags)
                let value = String(repeating: "x", count: 11 * 1024)
                let key = "computed-\(index)"
                #expect(try await cache.value(for: key, as: String.self, options: options) { value } == value)
                #expect(try await cache.client.send("EXISTS", .text(cache.keys.entry(key))).integer == 0)
                let error = await #expect(throws: EventBusError.self) {
                    try await cache.set(value, for: "set-\(index)", options: options)
                }
                #expect(error?.code == .tooLarge)
                #expect(try await cache.client.send("EXISTS", .text(cache.keys.entry("set-\(index)"))).integer == 0)
            }
            // The largest value that fits beside its tags is stored and read on the same connection.
            let options = CacheOptions(ttl: .seconds(60), tags: tags[0])
            let connections = try await connectionCount(server)
            var size = 15 * 1024
            while true {
                let value = String(repeating: "y", count: size)
                do {
                    try await cache.set(value, for: "most", options: options)
                } catch let error as EventBusError where error.code == .tooLarge && size > 0 {
                    size -= 16
                    continue
                }
                #expect(try await cache.value(for: "most", as: String.self, options: options) { "anew" } == value)
                break
            }
            #expect(size > 1024, "a value of \(size) bytes is too large")
            // One more is that of the question.
            #expect(try await connectionCount(server) == connections + 1)
        }

        /// Returns the number of connections that a server has accepted, including that of the question.
        private func connectionCount(_ server: RedisServer) async throws -> Int {
            let info = try reply(to: RedisCommand("INFO", ["stats"]), at: server.port).text ?? ""
            let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("total_connections_received:") }
            return try #require(line.flatMap { Int($0.drop { $0 != ":" }.dropFirst()) })
        }
    }
}
