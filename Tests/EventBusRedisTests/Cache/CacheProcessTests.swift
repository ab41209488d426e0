import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The use of one cache by several processes.
    @Suite(.timeLimit(.minutes(2)))
    struct CacheProcessTests {
        private static let callers = 250

        @Test func `a thousand callers in four processes compute a cold key once`() async throws {
            let server = try await RedisServer()
            let port = server.port
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        await #expect(processExitsWith: .success) { [port = port as Int] in
                            try await Self.askTogether(port: port)
                        }
                    }
                }
            }
            let client = try server.client()
            #expect(try await client.send(RedisCommand("GET", ["computed"])).text == "1")
            #expect(try await client.send(RedisCommand("GET", ["served"])).text == "\(4 * Self.callers)")
        }

        /// Asks when all four processes are ready. The computation ends when all callers have asked.
        private static func askTogether(port: Int) async throws {
            let client = try client(port)
            // A late lookup computes by design, and this machine is busy.
            let cache = RedisCache(client, options: RedisCacheOptions(lease: .seconds(10), readTimeout: .seconds(20)))
            _ = try await client.send(RedisCommand("INCR", ["ready"]))
            try await eventually("all processes should be there") {
                try await client.send(RedisCommand("GET", ["ready"])).text == "4"
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<callers {
                    group.addTask {
                        _ = try await client.send(RedisCommand("INCR", ["asked"]))
                        let value = try await cache.value(for: "cold", as: Int.self) {
                            _ = try await client.send(RedisCommand("INCR", ["computed"]))
                            try await eventually("all should have asked") {
                                try await client.send(RedisCommand("GET", ["asked"])).text == "\(4 * callers)"
                            }
                            return 7
                        }
                        if value == 7 { _ = try await client.send(RedisCommand("INCR", ["served"])) }
                    }
                }
                try await group.waitForAll()
            }
        }

        private static func client(_ port: Int) throws -> RedisClient {
            var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
            configuration.commandTimeout = .seconds(20)
            return try RedisClient(configuration, logger: .silent)
        }

        @Test func `when the process that computes is killed another takes over within the lease`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let options = RedisCacheOptions(lease: .milliseconds(1500))
            let cache = RedisCache(client, options: options)
            let port = server.port
            async let exit = #expect(processExitsWith: .signal(SIGKILL)) { [port = port as Int] in
                let client = try Self.client(port)
                let cache = RedisCache(client, options: RedisCacheOptions(lease: .milliseconds(1500)))
                _ = try await cache.value(for: "leader", as: Int.self) {
                    _ = try await client.send(RedisCommand("SET", ["pid", .integer(Int64(getpid()))]))
                    // Until it is killed.
                    try await Signal().wait()
                    return 1
                }
            }
            var pid: Int32 = 0
            try await eventually("the other process should compute") {
                pid = try await client.send(RedisCommand("GET", ["pid"])).text.flatMap { Int32($0) } ?? 0
                return pid > 0
            }
            // Zero would mean this process and its whole group.
            try #require(pid > 0)
            let taken = Signal()
            async let value = cache.value(for: "leader", as: Int.self) {
                taken.raise()
                return 2
            }
            // Its lease is renewed while it lives, which is the only reason for a growing time to live.
            let lease = RedisCommand.left(of: cache.keys.lease("leader"))
            for _ in 0..<3 {
                var least = Int64.max
                try await eventually("the lease should be renewed") {
                    let left = try await client.send(lease()).integer ?? 0
                    least = min(least, left)
                    return left > least + 100
                }
            }
            #expect(!taken.isRaised)
            kill(pid, SIGKILL)
            #expect(try await value == 2)
            _ = await exit
        }
    }
}

extension RedisCommand {
    fileprivate static func left(of key: String) -> @Sendable () throws -> RedisCommand {
        { RedisCommand("PTTL", [.text(key)]) }
    }
}
