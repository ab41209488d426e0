import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The behavior of a lock while its server is unreachable, out of memory, or refuses requests.
    @Suite(.timeLimit(.minutes(3)))
    struct LockOutageTests {
        private let long = Duration.seconds(60)

        private func expect(
            _ code: EventBusError.Code,
            sourceLocation: SourceLocation = #_sourceLocation,
            from body: () async throws -> Void
        ) async -> EventBusError? {
            let error = await #expect(throws: EventBusError.self, sourceLocation: sourceLocation) { try await body() }
            #expect(error?.code == code, "\(String(describing: error))", sourceLocation: sourceLocation)
            return error
        }

        @Test func `a wait is used while the server restarts`() async throws {
            let server = try await RedisServer()
            let lock = RedisLock(try server.client())
            // One that has been connected before, and one that has not.
            try await lock.withLock("warm") { _ in }
            let cold = RedisLock(try server.client())
            server.kill()
            let calls = [lock, cold].map { lock in
                Task { try await lock.withLock("sku", ttl: .seconds(5), wait: .seconds(60)) { $0.fencingToken } }
            }
            try await eventually("both should find the server away") {
                [lock, cold].allSatisfy { $0.client.connection.queue.refusal != nil }
            }
            try await server.start()
            let tokens = [try await calls[0].value, try await calls[1].value]
            #expect(tokens[0] != tokens[1])
        }

        @Test func `a wait that ends without the server says so, and not that another holds the lock`() async throws {
            let server = try await RedisServer()
            let holder = try await RedisLock(server.client()).acquire("sku", ttl: long, wait: .zero)
            let lock = RedisLock(try server.client())
            let line = LockKeys(prefix: "eventbus", resource: "sku").base + ":w"
            let probe = try server.client()
            let waiting = Task { try await lock.acquire("sku", ttl: long, wait: .seconds(2)) }
            try await eventually("it should stand in line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            server.kill()
            _ = await expect(.unavailable) { _ = try await waiting.value }
            _ = await expect(.unavailable) { _ = try await lock.acquire("sku", ttl: long, wait: .milliseconds(300)) }
            _ = holder
        }

        @Test(arguments: ["evalsha", "everything"])
        func `a release that the server refuses is done as soon as it no longer does`(refused: String) async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            func set(_ rules: String...) async throws {
                _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited"] + rules.map { .text($0) }))
            }
            try await set("on", ">secret", "~*", "&*", "+@all")
            let client = try server.client {
                $0.credentials = .init(user: "limited", password: "secret")
            }
            let lock = RedisLock(client)
            let grant = try await lock.acquire("sku", ttl: long, wait: .zero)
            let abandoned = try await lock.acquire("other", ttl: long, wait: .zero)
            if refused == "evalsha" { try await set("-evalsha", "-eval") } else { try await set("-@all", "off") }
            await #expect(throws: EventBusError.self) { try await lock.release(grant) }
            lock.abandon(abandoned)
            try await set("on", "+@all")
            let check = RedisLock(admin)
            for resource in ["sku", "other"] {
                try await eventually("\(resource) should be free long before its lease ends") {
                    try await check.tryLock(resource, ttl: long)?.release() != nil
                }
            }
        }

        @Test func `more releases than are carried out at a time all arrive`() async throws {
            let server = try await RedisServer()
            let lock = RedisLock(try server.client())
            var grants: [LockGrant] = []
            for number in 0..<RedisCleanup.capacity + 500 {
                grants.append(try await lock.acquire("sku-\(number)", ttl: .seconds(600), wait: .zero))
            }
            server.pause()
            for grant in grants { lock.abandon(grant) }
            #expect(lock.cleanup.count == grants.count)
            server.resume()
            try await eventually("all should be released") { lock.cleanup.count == 0 }
            let admin = try server.client()
            for grant in grants {
                let key = LockKeys(prefix: "eventbus", resource: grant.resource).holder
                #expect(try await admin.send(RedisCommand("EXISTS", [.text(key)])).integer == 0)
            }
        }

        // MARK: memory

        /// Sets the memory limit of the server to its current usage.
        private func setFull(_ isFull: Bool, _ admin: RedisClient) async throws {
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", isFull ? "1" : "0"]))
        }

        @Test func `a server that is full refuses a lock at once, with an error of its own`() async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            let lock = RedisLock(try server.client())
            let line = LockKeys(prefix: "eventbus", resource: "sku").base + ":w"
            let grant = try await lock.acquire("sku", ttl: long, wait: .zero)
            let waiting = Task { try await lock.acquire("sku", ttl: long, wait: .seconds(600)) }
            try await eventually("it should stand in line") {
                try await admin.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            try await setFull(true, admin)
            let inLine = await expect(.unavailable) { _ = try await waiting.value }
            #expect(inLine?.isOutOfMemory == true)
            for wait in [Duration.zero, .seconds(600)] {
                let error = await expect(.unavailable) { _ = try await lock.acquire("free", ttl: long, wait: wait) }
                #expect(error?.isOutOfMemory == true)
            }
            // A held lock can be renewed and released.
            _ = try await lock.renew(grant)
            try await lock.release(grant)
            #expect(try await admin.send(RedisCommand("ZCARD", [.text(line)])).integer == 0)
            try await setFull(false, admin)
            try await lock.withLock("sku", wait: .zero) { _ in }
        }

        @Test func `a release hands the lock to the next in line on a server that is full`() async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            // The waiter polls rarely, so that it is in the queue when the server is full.
            let lock = RedisLock(try server.client(), handOverTime: .seconds(60))
            let line = LockKeys(prefix: "eventbus", resource: "sku").base + ":w"
            let grant = try await lock.acquire("sku", ttl: long, wait: .zero)
            let waiting = Task { try await lock.acquire("sku", ttl: long, wait: .seconds(60)) }
            try await eventually("it should stand in line") {
                try await admin.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            try await setFull(true, admin)
            try await lock.release(grant)
            let next = try await waiting.value
            #expect(next.fencingToken > grant.fencingToken)
            try await lock.release(next)
        }

        @Test func `what is left of a lock that nobody uses is gone within the hour, and takes little`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let lock = RedisLock(try server.client())
            for number in 0..<100 { try await lock.withLock("sku-\(number)") { _ in } }
            let keys = try await admin.send(RedisCommand("KEYS", ["*"])).array?.compactMap(\.text) ?? []
            #expect(keys.count == 100)
            for key in keys {
                let left = try await admin.send(RedisCommand("PTTL", [.text(key)])).integer ?? -1
                #expect((1...3_600_100).contains(left), "\(key) is kept for \(left) ms")
                let size = try await admin.send(RedisCommand("MEMORY", ["USAGE", .text(key)])).integer ?? .max
                #expect(size <= 200, "\(key) takes \(size) bytes")
            }
        }

        // MARK: large values

        @Test func `a large value on its way holds up no lock, rate limiter or inbox`() async throws {
            let server = try await RedisServer()
            let gate = Valve(isOpen: false)
            let stuck = Signal()
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                // More data at once than small commands produce.
                guard direction == .request, bytes.count > 32_000 else { return }
                stuck.raise()
                gate.pass()
            }
            let client = try proxy.client {
                $0.commandTimeout = .seconds(60)
                $0.heartbeat = .seconds(60)
            }
            let cache = RedisCache(client, options: RedisCacheOptions(compressionThreshold: nil))
            let (lock, limiter, inbox) = (RedisLock(client), RedisRateLimiter(client), RedisInbox(client))
            let value = String(repeating: "x", count: 8 << 20)
            let storing = Task { try await cache.set(value, for: "large") }
            let sending = Task { try await client.send("SET", "plain", .text(value)) }
            try await stuck.wait()
            for number in 0..<20 { try await lock.withLock("sku-\(number)") { lease in try await lease.renew() } }
            #expect(try await limiter.request("sku", limit: RateLimit(1, per: .seconds(60))).isGranted)
            let key = InboxKey(topic: "test.placed", eventID: EventID(), subscription: "orders")
            guard case .new = try await inbox.begin(key, lease: .seconds(30)) else {
                Issue.record("a new event was claimed already")
                return
            }
            gate.open()
            try await storing.value
            _ = try await sending.value
            #expect(try await cache.value(for: "large", as: String.self) { "other" } == value)
        }

        @Test func `what a script under a lease sends and gets, and a large reply, hold up no lock`() async throws {
            let server = try await RedisServer()
            let (requests, replies) = (Valve(), Valve())
            let stuck = Shared(Signal())
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                guard bytes.count > 32_000 else { return }
                stuck.value.raise()
                if direction == .request { requests.pass() } else { replies.pass() }
            }
            let client = try proxy.client {
                $0.commandTimeout = .seconds(60)
                $0.heartbeat = .seconds(60)
            }
            let lock = RedisLock(client)
            let value = String(repeating: "x", count: 8 << 20)
            _ = try await server.client().send("SET", "large", .text(value))
            func expectLocks() async throws {
                for number in 0..<20 { try await lock.withLock("sku-\(number)") { lease in try await lease.renew() } }
            }
            func expectLocks(
                while closed: Valve,
                _ call: @escaping @Sendable () async throws -> RedisValue
            ) async throws {
                closed.close()
                stuck.change { $0 = Signal() }
                let calling = Task { try await call() }
                try await stuck.value.wait()
                try await expectLocks()
                closed.open()
                _ = try await calling.value
            }
            try await expectLocks(while: requests) { try await client.send("SET", "plain", .text(value)) }
            try await expectLocks(while: replies) { try await client.send("GET", "large") }
            try await expectLocks(while: requests) {
                try await lock.withLock("evaluate") { try await $0.evaluate("return 1", arguments: [.text(value)]) }
            }
            try await expectLocks(while: replies) {
                try await lock.withLock("evaluate") { try await $0.evaluate("return redis.call('GET', 'large')") }
            }
        }

        @Test func `a reply that is too large ends no connection that locks use`() async throws {
            let server = try await RedisServer()
            let client = try server.client { $0.maximumReplySize = 1 << 20 }
            let lock = RedisLock(client)
            _ = try await client.send("SET", "large", .bytes([UInt8](repeating: 1, count: 2 << 20)))
            func connection() async throws -> Int64? {
                try await client.connection.send(RedisCommand("CLIENT", ["ID"])).integer
            }
            let before = try await connection()
            await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "large") }
            #expect(try await connection() == before)
            let error = await #expect(throws: EventBusError.self) {
                try await lock.withLock("sku") { lease in
                    _ = try await lease.evaluate("return redis.call('GET', 'large')")
                }
            }
            #expect(error?.code == .indeterminate)
            #expect(try await connection() == before)
        }

        @Test func `the lease of a computation is renewed while a large value of the same cache is on its way`()
            async throws
        {
            let server = try await RedisServer()
            let gate = Valve(isOpen: false)
            let stuck = Signal()
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                guard direction == .request, bytes.count > 32_000 else { return }
                stuck.raise()
                gate.pass()
            }
            let client = try proxy.client {
                $0.commandTimeout = .seconds(60)
                $0.heartbeat = .seconds(60)
            }
            let options = RedisCacheOptions(lease: .milliseconds(600), compressionThreshold: nil)
            let cache = RedisCache(client, options: options)
            let other = RedisCache(try server.client(), options: options)
            let (isComputing, mayEnd, computations) = (Signal(), Signal(), Shared(0))
            let computing = Task {
                try await cache.value(for: "slow", as: Int.self) {
                    computations.change { $0 += 1 }
                    isComputing.raise()
                    try await mayEnd.wait()
                    return 1
                }
            }
            try await isComputing.wait()
            let storing = Task { try await cache.set(String(repeating: "x", count: 8 << 20), for: "large") }
            try await stuck.wait()
            let probe = try server.client()
            let lease = RedisArgument.text(cache.keys.lease("slow"))
            // Each renewal of the lease is at most 600 ms long.
            let end = ContinuousClock.now.advanced(by: .seconds(2))
            while ContinuousClock.now < end {
                let exists = try await probe.send("EXISTS", lease).integer
                try #require(exists == 1, "the lease has ended")
            }
            let waiting = Task {
                try await other.value(for: "slow", as: Int.self) {
                    computations.change { $0 += 1 }
                    return 2
                }
            }
            gate.open()
            mayEnd.raise()
            try await storing.value
            #expect(try await computing.value == 1)
            #expect(try await waiting.value == 1)
            #expect(computations.value == 1)
        }

        @Test func `a large command that moves slowly has more time and a living connection`() async throws {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port) { _, bytes in
                if bytes.count > 16_000 { usleep(10_000) }
            }
            // The transfer takes several times as long as a command may.
            let client = try proxy.client {
                $0.commandTimeout = .milliseconds(500)
                $0.heartbeat = .milliseconds(800)
            }
            let bytes = [UInt8](repeating: 1, count: 12 << 20)
            let start = ContinuousClock.now
            _ = try await client.send("SET", "large", .bytes(bytes))
            #expect(start.duration(to: .now) > .milliseconds(1000), "the line was not slow, so this shows nothing")
            #expect(try await client.send("STRLEN", "large").integer == Int64(bytes.count))
            // As does its reply.
            #expect(try await client.send("GET", "large").bytes == bytes)
        }
    }
}
