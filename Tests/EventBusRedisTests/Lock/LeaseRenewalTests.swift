import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct LeaseRenewalTests {
        @Test(arguments: [1, 3])
        func `a lease is renewed while bodies block every thread that tasks run on`(servers: Int) async throws {
            let redis = try await withThrowingTaskGroup(of: RedisServer.self) { group in
                for _ in 0..<servers { group.addTask { try await RedisServer() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            func lock() throws -> any DistributedLock {
                let clients = try redis.map { try $0.client() }
                return servers == 1 ? RedisLock(clients[0]) : RedisQuorumLock(clients)
            }
            let mine = try lock()
            let ttl = Duration.milliseconds(900)
            let names = (0..<2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))).map { "blocked-\($0)" }
            // Another process is not available here, so another lock object asks from a thread that no body blocks.
            let raw = try redis.map { try RawConnection(waitingFor: $0.port) }
            let kind = servers == 1 ? "lock" : "quorum"
            func isHeld(_ name: String) throws -> Bool {
                let key = "eventbus:\(kind):\(RedisKeys.tag(name)):l"
                return try raw.filter {
                    $0.write("EXISTS \(key)\r\n")
                    return try $0.read() == ":1\r\n"
                }.count * 2 > servers
            }
            let lapses = try await withThrowingTaskGroup(of: Int.self) { group in
                for name in names {
                    group.addTask {
                        let blocking = try RawConnection(waitingFor: redis[0].port)
                        return try await mine.withLock(name, ttl: ttl) { lease in
                            // It blocks its thread for three times its time to live, and stays valid.
                            var lapses = 0
                            let end = ContinuousClock.now.advanced(by: ttl * 3)
                            while ContinuousClock.now < end {
                                // A call that blocks its thread until the server answers, as that of a driver does.
                                blocking.write("BLPOP nothing-\(name) 0.01\r\n")
                                _ = try blocking.read()
                                if (try? lease.check()) == nil { lapses += 1 }
                            }
                            return lapses
                        }
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(lapses == 0)
            for name in names { #expect(try !isHeld(name)) }
        }

        @Test func `a lost lease is noticed by the renewal, and cancels the body`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let lock = RedisLock(try server.client())
            let error = await #expect(throws: EventBusError.self) {
                try await lock.withLock("sku", ttl: .seconds(3)) { _ in
                    _ = try await admin.send("DEL", .text(LockKeys(prefix: "eventbus", resource: "sku").holder))
                    // Ends only because the body is cancelled.
                    try await Signal().wait()
                }
            }
            #expect(error?.code == .leaseExpired)
        }

        @Test func `renewals go on after the server has forgotten its scripts, and stop with the lock`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let lock = RedisLock(try server.client())
            @Sendable func calls(_ command: String) async throws -> Int {
                let info = try await admin.send(RedisCommand("INFO", ["commandstats"])).text ?? ""
                let start = "cmdstat_\(command):calls="
                let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(start) }
                return line.flatMap { Int($0.dropFirst(start.count).prefix { $0.isNumber }) } ?? 0
            }
            try await lock.withLock("sku", ttl: .milliseconds(300)) { _ in
                for _ in 0..<3 {
                    _ = try await admin.send(RedisCommand("SCRIPT", ["FLUSH"]))
                    let before = try await calls("pexpire")
                    try await eventually("the lease should be renewed") { try await calls("pexpire") > before }
                }
            }
            // By the time at which this one is renewed, the other would have been renewed as well.
            let grant = try await lock.acquire("other", ttl: .milliseconds(900), wait: .zero)
            let (before, renewed) = (try await calls("evalsha"), Signal())
            lock.startRenewing(grant) { _ in renewed.raise() }
            try await renewed.wait()
            lock.stopRenewing(grant)
            #expect(try await calls("evalsha") == before + 1)
        }
    }
}
