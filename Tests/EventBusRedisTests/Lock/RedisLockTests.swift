import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisLockTests {
        private let long = Duration.seconds(60)
        /// A hand-over time that outlasts every test, so that a waiter that depends on it is not granted the lock in time.
        private let endless = Duration.seconds(600)

        @Test func `a thousand waiters on one lock take two connections, and all get it`() async throws {
            let server = try await RedisServer()
            let lock = RedisLock(try server.client())
            let grant = try await lock.acquire("busy", ttl: long, wait: .zero)
            let entered = Shared(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<1000 {
                    group.addTask {
                        try await lock.withLock("busy", ttl: .seconds(60), wait: .seconds(60)) { _ in
                            entered.change { $0 += 1 }
                        }
                    }
                }
                let probe = try server.client()
                let line = LockKeys(prefix: "eventbus", resource: "busy").base + ":w"
                try await eventually("all should stand in line") {
                    try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1000
                }
                let clients = try await probe.send(RedisCommand("CLIENT", ["LIST"])).text ?? ""
                #expect(clients.split(separator: "\n").count == 3, "two of the lock, one of the test")
                let sockets = try await probe.send(RedisCommand("INFO", ["stats"])).text ?? ""
                // No connections were opened and closed: two of the lock, the test's, and that of the server's start.
                #expect(sockets.contains("total_connections_received:4\r\n"), "\(sockets.prefix(60))")
                try await lock.release(grant)
                try await group.waitForAll()
            }
            #expect(entered.value == 1000)
        }

        @Test func `cancelling waits at any moment leaves no lock and no place in line behind`() async throws {
            let server = try await RedisServer()
            let locks = [RedisLock(try server.client()), RedisLock(try server.client())]
            for round in 0..<30 {
                let tasks = (0..<10).map { number in
                    Task {
                        try await locks[number % 2].withLock("contended", ttl: .seconds(60), wait: .seconds(30)) { _ in
                            await Task.yield()
                        }
                    }
                }
                for (number, task) in tasks.enumerated() where (number + round) % 3 != 0 {
                    for _ in 0..<(number * round % 40) { await Task.yield() }
                    task.cancel()
                }
                for task in tasks { _ = await task.result }
            }
            guard let lease = try await locks[0].tryLock("contended", ttl: long) else {
                Issue.record("the lock was left behind")
                return
            }
            try await lease.release()
            let probe = try server.client()
            let keys = try await probe.send(RedisCommand("KEYS", ["*"])).array?.compactMap(\.text) ?? []
            #expect(keys.allSatisfy { $0.hasSuffix(":f") }, "\(keys)")
        }

        @Test func `forty dead waiters ahead do not hold up the next live one`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let lock = RedisLock(client)
            let keys = LockKeys(prefix: "eventbus", resource: "dead-ahead").base
            let grant = try await lock.acquire("dead-ahead", ttl: long, wait: .zero)
            // The hand-over times of all would exceed the wait.
            for number in 0..<400 {
                _ = try await client.send(
                    RedisCommand("ZADD", [.text(keys + ":w"), .integer(Int64(number)), .text("dead\(number).1")])
                )
                _ = try await client.send(
                    RedisCommand("HSET", [.text(keys + ":c"), .text("dead\(number)"), "99999999999999+"])
                )
            }
            async let next = lock.acquire("dead-ahead", ttl: long, wait: .seconds(30))
            try await eventually("the live one should stand in line") {
                try await client.send(RedisCommand("ZCARD", [.text(keys + ":w")])).integer == 401
            }
            try await lock.release(grant)
            let second = try await next
            #expect(second.fencingToken > grant.fencingToken)
            // Several grants within one microsecond leave a fence ahead of the clock, which must not be kept forever.
            let kept = try await client.send(RedisCommand("PTTL", [.text(keys + ":f")])).integer ?? 0
            #expect((1...604_801_000).contains(kept), "the fence is kept for \(kept) ms")
            try await lock.release(second)
        }

        @Test func `what is handed to a waiter that is gone is given back at once`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let lock = RedisLock(try server.client(), handOverTime: endless)
            let keys = LockKeys(prefix: "eventbus", resource: "ghost").base
            let grant = try await lock.acquire("ghost", ttl: long, wait: .seconds(1))
            var process = ""
            try await eventually("the lock should listen") {
                let channels = try await client.send(RedisCommand("PUBSUB", ["CHANNELS", "eventbus:lock-wake:*"]))
                process = channels.array?.first?.text?.split(separator: ":").last.map { String($0) } ?? ""
                return !process.isEmpty
            }
            _ = try await client.send(RedisCommand("ZADD", [.text(keys + ":w"), 1, .text(process + ".ghost")]))
            async let next = lock.acquire("ghost", ttl: long, wait: .seconds(60))
            try await eventually("the live one should stand in line") {
                try await client.send(RedisCommand("ZCARD", [.text(keys + ":w")])).integer == 2
            }
            try await lock.release(grant)
            let second = try await next
            try await lock.release(second)
        }

        @Test func `a time to live that is over when a grant arrives is refused`() async throws {
            let client = try await SharedRedis.client()
            let clients = try await [SharedRedis.client(), SharedRedis.client(), SharedRedis.client()]
            let locks: [any DistributedLock] = [
                RedisLock(client), RedisSharedLock(client).lock(for: .shared), RedisQuorumLock(clients),
            ]
            for lock in locks {
                let error = await #expect(throws: EventBusError.self) {
                    try await lock.withLock("short", ttl: .milliseconds(2), wait: .milliseconds(100)) { _ in }
                }
                #expect(error?.code == .invalidConfiguration, "\(String(describing: error))")
            }
        }

        @Test(arguments: [LockScripts.acquire, SharedLockScripts.acquire])
        func `a place in the queue is kept for as long as its process counts as alive`(script: RedisScript) async throws
        {
            let client = try await SharedRedis.client()
            let keys = LockKeys(prefix: "eventbus", resource: "r-\(EventID())")
            // The second is a process with a short hand-over time.
            for (token, alive) in [("h.1.0", 2000), ("p.1.0", 600_000), ("q.1.0", 2000)] as [(String, Int64)] {
                _ = try await client.run(
                    script,
                    keys: keys.all,
                    [.text(token), 60_000, "1", .integer(alive / 4), "wake:", .integer(alive), "-"],
                    isIdempotent: true
                )
            }
            for key in [keys.base + ":w", keys.base + ":c"] {
                let kept = try await client.send("PTTL", .text(key)).integer ?? 0
                #expect(kept > 500_000, "\(key) is kept for \(kept) ms")
            }
        }

        @Test func `the hand-over time has bounds`() async throws {
            let client = try await SharedRedis.client()
            for (given, used) in [
                (Duration.zero, Duration.milliseconds(50)), (.seconds(1), .seconds(1)),
                (.seconds(Int64.max), .seconds(3600)),
            ] {
                #expect(RedisLock(client, handOverTime: given).handOverTime == used)
                #expect(RedisSharedLock(client, handOverTime: given).base.handOverTime == used)
            }
        }

        @Test func `without the right to publish the next in line finds out by asking`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            for (name, rules) in [("no-publish", ["allchannels", "-publish"]), ("no-channels", ["resetchannels"])] {
                let acl = ["SETUSER", name, "on", ">secret", "allkeys", "+@all"] + rules
                _ = try await admin.send(RedisCommand("ACL", acl.map { .text($0) }))
                let locks = try (0..<2).map { _ in
                    RedisLock(
                        try server.client {
                            $0.credentials = .init(user: name, password: "secret")
                        }
                    )
                }
                let grant = try await locks[0].acquire(name, ttl: long, wait: .zero)
                async let next = locks[1].acquire(name, ttl: long, wait: .seconds(30))
                let line = LockKeys(prefix: "eventbus", resource: name).base + ":w"
                try await eventually("it should stand in line") {
                    try await admin.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
                }
                try await locks[0].release(grant)
                let second = try await next
                try await locks[1].release(second)
            }
        }

        @Test func `a fence that is ahead of the server's clock keeps growing, and holds no waiter up`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let locks = [
                RedisLock(client, handOverTime: endless), RedisLock(try server.client(), handOverTime: endless),
            ]
            let ahead: UInt64 = 8_000_000_000_000_000
            let base = LockKeys(prefix: "eventbus", resource: "ahead").base
            _ = try await client.send(RedisCommand("SET", [.text(base + ":f"), .integer(Int64(ahead))]))
            var grant = try await locks[0].acquire("ahead", ttl: long, wait: .zero)
            #expect(grant.fencingToken == ahead + 1)
            for step in 2...4 {
                let (holder, waiter) = (locks[step % 2], locks[(step + 1) % 2])
                async let next = waiter.acquire("ahead", ttl: .seconds(60), wait: .seconds(30))
                try await eventually("it should stand in line") {
                    try await client.send(RedisCommand("ZCARD", [.text(base + ":w")])).integer == 1
                }
                try await holder.release(grant)
                grant = try await next
                #expect(grant.fencingToken == ahead + UInt64(step))
            }
            // Kept until the clock has passed it, which takes 200 years.
            let kept = try await client.send(RedisCommand("PTTL", [.text(base + ":f")])).integer ?? 0
            #expect(kept > 6_000_000_000_000, "the fence is kept for \(kept) ms")
        }

        @Test func `a release wakes the next by a message, not by being asked`() async throws {
            let server = try await RedisServer()
            // Polling would take at least half of it.
            let locks = [
                RedisLock(try server.client(), handOverTime: endless),
                RedisLock(try server.client(), handOverTime: endless),
            ]
            let probe = try server.client()
            let line = LockKeys(prefix: "eventbus", resource: "message").base + ":w"
            let grant = try await locks[0].acquire("message", ttl: long, wait: .zero)
            async let next = locks[1].acquire("message", ttl: long, wait: .seconds(60))
            try await eventually("it should stand in line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            try await locks[0].release(grant)
            try await locks[1].release(next)
        }

        @Test func `forgotten scripts and killed connections do not break exclusion or lose a waiter`() async throws {
            let server = try await RedisServer()
            let locks = try (0..<3).map { _ in RedisLock(try server.client()) }
            let admin = try server.client()
            let inside = Shared((now: 0, most: 0, total: 0))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<12 {
                    group.addTask {
                        for _ in 0..<25 {
                            // A call whose connection is killed reports that. Then it is repeated.
                            while true {
                                do {
                                    try await locks[worker % 3].withLock("killed", ttl: .seconds(2), wait: .seconds(30))
                                    {
                                        _ in
                                        inside.change { inside in
                                            inside.now += 1
                                            inside.most = max(inside.most, inside.now)
                                        }
                                        await Task.yield()
                                        inside.change { inside in
                                            inside.now -= 1
                                            inside.total += 1
                                        }
                                    }
                                    break
                                } catch let error as EventBusError
                                    where error.isTransient || [.lockLost, .leaseExpired].contains(error.code)
                                {
                                    await Task.yield()
                                }
                            }
                        }
                    }
                }
                group.addTask {
                    for round in 0..<30 where inside.value.total < 300 {
                        let command: [RedisArgument] =
                            switch round % 3 {
                            case 0: ["KILL", "TYPE", "normal", "SKIPME", "yes"]
                            case 1: ["KILL", "TYPE", "pubsub"]
                            default: []
                            }
                        let seen = inside.value.total
                        _ = try await admin.send(
                            command.isEmpty ? RedisCommand("SCRIPT", ["FLUSH"]) : RedisCommand("CLIENT", command)
                        )
                        try await eventually("someone should enter after that") {
                            let total = inside.value.total
                            return total > seen || total >= 300
                        }
                    }
                }
                try await group.waitForAll()
            }
            let result = inside.value
            #expect(result.most == 1)
            #expect(result.total >= 300)
        }

        @Test func `a holder learns that its server has lost the lock`() async throws {
            let server = try await RedisServer()
            let lock = RedisLock(try server.client())
            let entered = Signal()
            let body = Task {
                try await lock.withLock("restarted", ttl: .milliseconds(600), wait: .zero) { _ in
                    entered.raise()
                    try await Signal().wait()
                }
            }
            try await entered.wait()
            server.kill()
            try await server.start()
            do {
                try await body.value
                Issue.record("the body outlived its lease")
            } catch let error as EventBusError {
                #expect([.lockLost, .leaseExpired].contains(error.code), "\(error)")
            }
        }

        @Test func `waiters outlive a restart of the server`() async throws {
            let server = try await RedisServer()
            let lock = RedisLock(try server.client())
            let grant = try await lock.acquire("restart", ttl: long, wait: .zero)
            let next = Task { try await lock.acquire("restart", ttl: .seconds(60), wait: .seconds(30)) }
            let probe = try server.client()
            let line = LockKeys(prefix: "eventbus", resource: "restart").base + ":w"
            try await eventually("it should stand in line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            server.kill()
            try await server.start()
            #expect(try await next.value.fencingToken > grant.fencingToken)
        }

        @Test func `a script runs under a lease that holds, and not under one that has ended`() async throws {
            let lock = RedisLock(try await SharedRedis.client())
            let resource = "evaluate-\(EventID())"
            let script = "return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}"
            let result = try await lock.withLock(resource) { lease in
                try await lease.evaluate(script, keys: [resource], arguments: ["a"])
            }
            #expect(result == .array([.bulk(Array(resource.utf8)), .bulk([97]), .integer(1)]))

            guard let late = try await lock.tryLock(resource, ttl: .milliseconds(20)) else {
                Issue.record("a free resource was refused")
                return
            }
            try await eventually("the lease should end") {
                do {
                    _ = try await late.evaluate(script, keys: [resource], arguments: ["a"])
                    return false
                } catch let error as EventBusError {
                    return error.code == .leaseExpired
                }
            }
            guard let other = try await lock.tryLock(resource) else {
                Issue.record("a free resource was refused")
                return
            }
            do {
                _ = try await late.evaluate(script, keys: [resource], arguments: ["a"])
                Issue.record("a lease that is another's by now let a script run")
            } catch let error as EventBusError {
                #expect(error.code == .lockNotOwned)
            }
            try await other.release()
        }

        @Test func `a candidate whose request the server rejects for good throws that`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            _ = try await client.send("SADD", .text(LockKeys(prefix: "eventbus", resource: "role").holder), "member")
            let clock = AnyClock.continuous
            let error = await #expect(throws: EventBusError.self) {
                try await withDeadline(clock.now.advanced(by: .seconds(5)), clock: clock) {
                    try await RedisLock(client).lead("role") { _ in }
                }
            }
            #expect(error?.code == .rejected)
            #expect((error?.underlying as? RedisServerError)?.kind == "WRONGTYPE")
        }

        @Test func `a lease that was dropped immediately before its client is closed is released`() async throws {
            let server = try await RedisServer()
            let check = RedisLock(try server.client())
            for number in 0..<100 {
                let client = try server.client()
                guard try await RedisLock(client).tryLock("sku-\(number)", ttl: long) != nil else {
                    Issue.record("a free resource was refused")
                    return
                }
                await client.close()
                #expect(try await check.holder(of: "sku-\(number)") == nil)
            }
        }

        @Test func `a client that is closed while its server is away does not wait for releases`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let lock = RedisLock(client)
            let grant = try await lock.acquire("sku", ttl: long, wait: .zero)
            server.kill()
            try await eventually("it should find the server away") { client.connection.queue.refusal != nil }
            lock.abandon(grant)
            await client.close()
            try await eventually("the release should be given up") { lock.cleanup.count == 0 }
        }

        @Test func `without a server a call fails within its deadline, and holds nothing`() async throws {
            let configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: try freePort()))
            let lock = RedisLock(try RedisClient(configuration, logger: .silent))
            for wait in [Duration.zero, .milliseconds(500)] {
                do {
                    _ = try await lock.acquire("nowhere", ttl: long, wait: wait)
                    Issue.record("a lock was granted by nobody")
                } catch let error as EventBusError {
                    #expect(error.code == .unavailable)
                }
            }
        }
    }
}
