import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Large values on a slow line, with the default time limits. Each takes several times as long.
    @Suite(.timeLimit(.minutes(2)))
    struct LargeValueTests {
        private let value = String(repeating: "x", count: 8 << 20)
        private let options = RedisCacheOptions(firstLevelCapacity: 0, compressionThreshold: nil)

        /// Returns a proxy that slows large data down in one direction, and a signal that is raised when such data moves.
        private func slowLine(_ slow: RedisProxy.Direction, to server: RedisServer) throws -> (RedisProxy, Signal) {
            let begun = Signal()
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                guard direction == slow, bytes.count > 16_000 else { return }
                begun.raise()
                usleep(40_000)
            }
            return (proxy, begun)
        }

        @Test func `a large value is served, and readers behind it neither wait for it nor open the breaker`()
            async throws
        {
            let server = try await RedisServer()
            let writer = RedisCache(try server.client(), options: options)
            try await writer.set(value, for: "large")
            try await writer.set(1, for: "small")
            let (proxy, begun) = try slowLine(.reply, to: server)
            let cache = RedisCache(try proxy.client(), options: options)
            let reading = Task { try await cache.value(for: "large", as: String.self) { "computed" } }
            try await begun.wait()
            let isRead = Shared(false)
            let watching = Task {
                var wasOpen = false
                while !isRead.value {
                    if cache.reads.isOpen { wasOpen = true }
                    try await Task.sleep(for: .milliseconds(5))
                }
                return wasOpen
            }
            let start = ContinuousClock.now
            _ = try await cache.value(for: "small", as: Int.self) { -1 }
            // It may be answered in time, or computed after the time of a command, which it asks twice.
            #expect(start.duration(to: .now) < .seconds(6))
            let isServed = try await reading.value == value
            #expect(isServed)
            isRead.change { $0 = true }
            #expect(try await !watching.value)
            #expect(try await cache.value(for: "small", as: Int.self) { -1 } == 1)
        }

        @Test func `a value whose bytes stop arriving is computed, and readers are not held up again`() async throws {
            let server = try await RedisServer()
            try await RedisCache(try server.client(), options: options).set(value, for: "large")
            let (proxy, begun) = try slowLine(.reply, to: server)
            let cache = RedisCache(try proxy.client { $0.heartbeat = .seconds(60) }, options: options)
            let reading = Task { try await cache.value(for: "large", as: String.self) { "computed" } }
            try await begun.wait()
            proxy.replies.close()
            #expect(try await reading.value == "computed")
            #expect(cache.reads.isOpen)
            for number in 0..<100 { _ = try await cache.value(for: "key-\(number)", as: Int.self) { number } }
        }

        @Test func `a large value is stored once`() async throws {
            let server = try await RedisServer()
            let size = value.utf8.count
            let received = Shared(0)
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                guard direction == .request else { return }
                received.change { $0 += bytes.count }
                if bytes.count > 16_000 { usleep(20_000) }
            }
            let client = try proxy.client { $0.commandTimeout = .milliseconds(500) }
            let cache = RedisCache(client, options: options)
            // From then on the server knows the script, which is sent again otherwise.
            try await cache.set(1, for: "small")
            received.change { $0 = 0 }
            try await cache.set(value, for: "large")
            #expect(received.value < size * 3 / 2)
            let admin = try server.client()
            #expect(try await admin.send("HSTRLEN", .text(cache.keys.entry("large")), "v").integer == Int64(size + 2))
        }
    }
}
