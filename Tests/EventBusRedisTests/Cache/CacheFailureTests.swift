import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct CacheFailureTests {
        private struct BackendDown: Error {}

        @Test func `when a computation fails, those who wait for it in other processes get their own error at once`()
            async throws
        {
            let server = try await RedisServer()
            let caches = try (0..<10).map { _ in RedisCache(try server.client()) }
            let computations = Shared(0)
            let (first, others) = (Signal(), Shared(0))
            let options = CacheOptions(failureTTL: .seconds(60))
            let calls = caches.map { cache in
                Task {
                    try await cache.value(for: "key", as: Int.self, options: options) {
                        computations.change { $0 += 1 }
                        // The first one fails when all others wait for it.
                        try await first.wait()
                        throw BackendDown()
                    }
                }
            }
            try await eventually("the others should wait") {
                others.change { $0 = 0 }
                let info = try await server.client().send(RedisCommand("EXISTS", [.text(caches[0].keys.lease("key"))]))
                return info.integer == 1 && computations.value == 1
            }
            first.raise()
            for call in calls { await #expect(throws: BackendDown.self) { try await call.value } }
            #expect(computations.value <= 10)
            // The failure is also shared with callers that ask soon afterwards.
            for cache in caches {
                await #expect(throws: BackendDown.self) {
                    try await cache.value(for: "key", as: Int.self, options: options) {
                        computations.change { $0 += 1 }
                        throw BackendDown()
                    }
                }
            }
            #expect(computations.value <= 10)
        }

        @Test func `a failing computation is counted, and logged at most once a second`() async throws {
            let server = try await RedisServer()
            let log = LogRecorder()
            let client = try RedisClient(server.configuration, logger: log.logger)
            let cache = RedisCache(client)
            for number in 0..<100 {
                await #expect(throws: BackendDown.self) {
                    try await cache.value(for: "key-\(number)", as: Int.self) { throw BackendDown() }
                }
            }
            let lines = log.lines.filter { $0.contains("computing a cached value failed") }
            #expect((1...50).contains(lines.count), "\(lines.count)")
            #expect(lines.first?.contains("BackendDown") == true)
        }

        @Test func `a removal whose outcome is unknown is sent once more`() async throws {
            let asked = Shared(0)
            let server = try ScriptedServer { command, _ in
                guard command.contains(CacheScripts.remove.digest) else { return greetingReply(command) }
                asked.change { $0 += 1 }
                return asked.value == 1 ? nil : Array(":1\r\n".utf8)
            }
            try await RedisCache(try server.client()).remove(["key"])
            #expect(asked.value == 2)
        }

        @Test func `a server that says nothing holds readers up once, then they compute until it answers again`()
            async throws
        {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            let options = RedisCacheOptions(firstLevelCapacity: 0, readTimeout: .milliseconds(500))
            let client = try proxy.client { $0.heartbeat = .seconds(60) }
            let cache = RedisCache(client, options: options)
            try await cache.set(0, for: "stored")
            proxy.replies.close()
            #expect(try await cache.value(for: "first", as: Int.self) { 1 } == 1)
            // A thousand sequential waits for the server would take a thousand times half a second.
            for number in 0..<1000 { _ = try await cache.value(for: "key-\(number)", as: Int.self) { number } }
            proxy.replies.open()
            try await eventually("the server should be asked again") {
                try await cache.value(for: "stored", as: Int.self) { 1 } == 0
            }
        }
    }
}
