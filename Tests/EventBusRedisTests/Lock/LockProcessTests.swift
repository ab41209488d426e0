import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// What happens to a lock when processes die or stop.
    @Suite(.timeLimit(.minutes(3)))
    struct LockProcessTests {
        /// Enters and leaves a place that notes when two are inside, or a fence goes back.
        enum Place {
            static let enter = RedisScript(
                """
                local last = tonumber(redis.call('GET', 'last-fence') or '0')
                if tonumber(ARGV[1]) <= last then redis.call('INCR', 'violations') end
                redis.call('SET', 'last-fence', ARGV[1])
                redis.call('SET', 'inside', ARGV[1])
                return redis.call('INCR', 'entries')
                """
            )
            static let leave = RedisScript(
                """
                if redis.call('GET', 'inside') ~= ARGV[1] then return redis.call('INCR', 'violations') end
                return 0
                """
            )

            static func visit(_ client: RedisClient, fence: UInt64) async throws {
                let fence = [RedisArgument.text("\(fence)")]
                _ = try await client.run(enter, keys: ["last-fence"], fence, isIdempotent: false)
                _ = try await client.run(leave, keys: ["last-fence"], fence, isIdempotent: false)
            }
        }

        @Test func `processes that are killed at any moment break neither exclusion nor the line`() async throws {
            let server = try await RedisServer()
            let port = server.port
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        await #expect(processExitsWith: .signal(SIGKILL)) { [port = port as Int] in
                            onThread {
                                usleep(UInt32.random(in: 50_000..<600_000))
                                kill(getpid(), SIGKILL)
                            }
                            try await Self.work(port: port, rounds: .max)
                        }
                    }
                }
                for _ in 0..<3 {
                    group.addTask {
                        await #expect(processExitsWith: .success) { [port = port as Int] in
                            try await Self.work(port: port, rounds: 150)
                        }
                    }
                }
            }
            let client = try server.client()
            #expect(try await client.send(RedisCommand("GET", ["violations"])) == .null)
            let entries = try await client.send(RedisCommand("GET", ["entries"])).text.flatMap { Int($0) } ?? 0
            #expect(entries >= 450)
        }

        private static func work(port: Int, rounds: Int) async throws {
            let client = try RedisClient(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                logger: .silent
            )
            let lock = RedisLock(client)
            // Two of each process, so that there is a line.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        for _ in 0..<(rounds / 2) {
                            try await lock.withLock("shared", ttl: .milliseconds(800), wait: .seconds(60)) { lease in
                                try await Place.visit(client, fence: lease.fencingToken)
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

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
            var pid: Int32 = 0
            try await eventually("the other process should say who it is") {
                pid = try await client.send(RedisCommand("GET", ["pid"])).text.flatMap { Int32($0) } ?? 0
                return pid > 0
            }
            // Whatever fails below, it must not be waited for.
            defer { kill(pid, SIGKILL) }
            try await stop(pid)
            async let next = lock.acquire("stopped", ttl: .seconds(60), wait: .seconds(30))
            try await eventually("this process should stand behind it") {
                try await client.send(RedisCommand("ZCARD", [.text(line)])).integer == 2
            }
            let start = ContinuousClock.now
            try await lock.release(grant)
            let second = try await next
            let took = start.duration(to: .now)
            #expect(took < .milliseconds(1200), "it took \(took)")
            try await lock.release(second)
            kill(pid, SIGKILL)
            await exit
        }

        /// Stops a process, and waits until each of its threads has stopped.
        private func stop(_ pid: Int32) async throws {
            kill(pid, SIGSTOP)
            try await eventually("the process should stop") {
                let states = threadStates(of: pid)
                return !states.isEmpty && states.allSatisfy { $0 == "T" }
            }
        }

        private func threadStates(of pid: Int32) -> [Character] {
            guard let directory = opendir("/proc/\(pid)/task") else { return [] }
            defer { closedir(directory) }
            var states: [Character] = []
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                guard Int(name) != nil, let file = fopen("/proc/\(pid)/task/\(name)/stat", "r") else { continue }
                defer { fclose(file) }
                var buffer = [UInt8](repeating: 0, count: 512)
                let count = fread(&buffer, 1, buffer.count, file)
                // The state follows the name, which is in parentheses.
                let text = String(decoding: buffer[..<count], as: UTF8.self)
                if let end = text.lastIndex(of: ")"), let state = text[end...].dropFirst(2).first {
                    states.append(state)
                }
            }
            return states
        }

        private func expectKilled(_ port: Int) async {
            await #expect(processExitsWith: .signal(SIGKILL)) { [port = port as Int] in
                let client = try RedisClient(
                    RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                    logger: .silent
                )
                _ = try await client.send(RedisCommand("SET", ["pid", .integer(Int64(getpid()))]))
                _ = try await RedisLock(client).acquire("stopped", ttl: .seconds(5), wait: .seconds(60))
            }
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
                        try await Task.sleep(for: .seconds(60))
                    }
                    Glibc.exit(1)
                } catch let error as EventBusError where [.lockLost, .leaseExpired].contains(error.code) {
                    return
                }
            }
            var pid: Int32 = 0
            try await eventually("the other process should hold the lock") {
                pid = try await client.send(RedisCommand("GET", ["pid"])).text.flatMap { Int32($0) } ?? 0
                return pid > 0
            }
            try await stop(pid)
            let grant = try await lock.acquire("paused", ttl: .seconds(60), wait: .seconds(30))
            let stopped = try await client.send(RedisCommand("GET", ["fence"])).text.flatMap { UInt64($0) } ?? .max
            #expect(grant.fencingToken > stopped)
            kill(pid, SIGCONT)
            _ = await exit
            // What it did on waking up has not touched the lock of the present holder.
            _ = try await lock.renew(grant)
            try await lock.release(grant)
        }
    }
}
