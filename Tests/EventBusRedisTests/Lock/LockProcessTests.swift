import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The behavior of a lock when a process is suspended. `LockFloodTests` covers processes that die.
    @Suite(.timeLimit(.minutes(3)))
    struct LockProcessTests {
        @Test func `a waiter that is stopped holds the line up for the hand-over time, no more`() async throws {
            let server = try await RedisServer()
            let port = server.port
            let client = try server.client()
            let lock = RedisLock(client)
            let line = LockKeys(prefix: "eventbus", resource: "stopped").base + ":w"
            let grant = try await lock.acquire("stopped", ttl: .seconds(60), wait: .zero)

            async let exit: Void = expectKilled(port)
            try await eventually("the other process should stand in line") {
                try await client.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            let pid = try await pid(of: client)
            // Whatever fails below, it must not be waited for.
            defer { signal(SIGKILL, to: pid) }
            try await stop(pid)
            async let next = lock.acquire("stopped", ttl: .seconds(60), wait: .seconds(30))
            try await eventually("this process should stand behind it") {
                try await client.send(RedisCommand("ZCARD", [.text(line)])).integer == 2
            }
            // The lease of the stopped process would outlast the wait of this one.
            try await lock.release(grant)
            let second = try await next
            try await lock.release(second)
            signal(SIGKILL, to: pid)
            await exit
        }

        private func expectKilled(_ port: Int) async {
            await #expect(processExitsWith: .signal(SIGKILL)) { [port = port as Int] in
                let client = try RedisClient(
                    RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                    logger: .silent
                )
                _ = try await client.send(RedisCommand("SET", ["pid", .integer(Int64(getpid()))]))
                _ = try await RedisLock(client).acquire("stopped", ttl: .seconds(60), wait: .seconds(60))
            }
        }

        /// Returns the process id that the other process has stored.
        private func pid(of client: RedisClient) async throws -> Int32 {
            var pid: Int32 = 0
            try await eventually("the other process should say who it is") {
                pid = try await client.send(RedisCommand("GET", ["pid"])).text.flatMap { Int32($0) } ?? 0
                return pid > 1
            }
            return try #require(pid > 1 ? pid : nil)
        }

        @Test func `a holder that was stopped past its lease is told, and its fence is refused`() async throws {
            let server = try await RedisServer()
            let port = server.port
            let client = try server.client()
            let lock = RedisLock(client)
            async let exit = #expect(processExitsWith: .success) { [port = port as Int] in
                let client = try RedisClient(
                    RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                    logger: .silent
                )
                do {
                    try await RedisLock(client).withLock("paused", ttl: .milliseconds(300), wait: .zero) { lease in
                        let fence = RedisArgument.text("\(lease.fencingToken)")
                        _ = try await client.send(
                            RedisCommand("MSET", ["fence", fence, "pid", .integer(Int64(getpid()))])
                        )
                        try await Signal().wait()
                    }
                    Glibc.exit(1)
                } catch let error as EventBusError where [.lockLost, .leaseExpired].contains(error.code) {
                    return
                }
            }
            let pid = try await pid(of: client)
            try await stop(pid)
            let grant = try await lock.acquire("paused", ttl: .seconds(60), wait: .seconds(30))
            let stopped = try await client.send(RedisCommand("GET", ["fence"])).text.flatMap { UInt64($0) } ?? .max
            #expect(grant.fencingToken > stopped)
            signal(SIGCONT, to: pid)
            _ = await exit
            // Its actions after resuming have not affected the lock of the current holder.
            _ = try await lock.renew(grant)
            try await lock.release(grant)
        }
    }
}
