import EventBus
import EventBusTesting
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisSharedLockTests {
        @Test func `a user who may neither publish nor subscribe gets every share, by asking`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let rules: [RedisArgument] = ["on", ">secret", "~*", "&*", "+@all", "-publish", "-subscribe"]
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "quiet"] + rules))
            let locks = RoundRobin {
                // It asks within this time.
                RedisSharedLock(
                    try server.client { $0.credentials = .init(user: "quiet", password: "secret") },
                    handOverTime: .milliseconds(250)
                )
            }
            for check in SharedLockConformance(ttl: .milliseconds(600), make: { try await locks.next() }).checks {
                do {
                    try await check.run()
                } catch {
                    Issue.record("\(check.name): \(error)")
                }
            }
        }

        @Test func `on a server that is full no share is granted, and shares are renewed and released`() async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            let readers = RedisSharedLock(try server.client()).lock(for: .shared)
            var grants: [LockGrant] = []
            for _ in 0..<2 { grants.append(try await readers.acquire("a", ttl: .seconds(60), wait: .zero)) }
            _ = try await admin.send("CONFIG", "SET", "maxmemory", "1")
            // A call that would wait is told as well.
            for wait in [Duration.zero, .seconds(60)] {
                let refused = await #expect(throws: EventBusError.self) {
                    _ = try await readers.acquire("a", ttl: .seconds(60), wait: wait)
                }
                #expect(refused?.code == .unavailable && refused?.isOutOfMemory == true)
            }
            for grant in grants {
                _ = try await readers.renew(grant)
                try await readers.release(grant)
            }
        }

        @Test func `no step removes more than a bounded number of shares that have ended`() async throws {
            let client = try await SharedRedis.client()
            let lock = RedisSharedLock(client)
            let resource = "r-\(EventID())"
            let holders = "eventbus:shared:lock:\(RedisKeys.tag(resource)):l"
            let tokens = (0..<1_000).flatMap { ["1", .text("p.\($0).\(Int.max)")] as [RedisArgument] }
            _ = try await client.send(RedisCommand("ZADD", [.text(holders)] + tokens))
            let error = await #expect(throws: EventBusError.self) {
                _ = try await lock.lock(for: .exclusive).acquire(resource, ttl: .seconds(60), wait: .zero)
            }
            #expect(error?.code == .lockTimedOut)
            #expect(try await client.send("ZCARD", .text(holders)).integer ?? 0 >= 1_000 - 2 * 128)
            let grant = try await lock.lock(for: .exclusive).acquire(resource, ttl: .seconds(60), wait: .seconds(30))
            #expect(try await client.send("ZCARD", .text(holders)).integer == 1)
            try await lock.lock(for: .exclusive).release(grant)
        }

        @Test func `who waits behind a process without messages asks again after the hand-over time`() async throws {
            let client = try await SharedRedis.client()
            let keys = LockKeys(prefix: "eventbus:shared", resource: "r-\(EventID())")
            func acquire(_ token: String, listens: String) async throws -> RedisValue {
                try await client.run(
                    SharedLockScripts.acquire,
                    keys: keys.all,
                    [.text(token), 60_000, "1", 500, "wake:", 60_000, .text(listens)],
                    isIdempotent: true
                )
            }
            for token in ["h.1.0", "p.1.0", "q.1.0"] { _ = try await acquire(token, listens: "-") }
            _ = try await client.run(
                SharedLockScripts.release,
                keys: keys.all,
                ["h.1.0", 500, "wake:"],
                isIdempotent: true
            )
            let answer = try await acquire("q.1.0", listens: "+").array ?? []
            #expect(answer.map { $0.integer ?? -1 } == [0, 500, -1] && answer.last?.text == "p.1.0", "\(answer)")
            #expect(try await acquire("p.1.0", listens: "-").array?.first == .integer(1))
        }

        @Test func `a process that does not come for a share delays the queue once`() async throws {
            let client = try await SharedRedis.client()
            let keys = LockKeys(prefix: "eventbus:shared", resource: "r-\(EventID())")
            func acquire(_ token: String) async throws -> RedisValue {
                try await client.run(
                    SharedLockScripts.acquire,
                    keys: keys.all,
                    // As if it listened at another node of a cluster.
                    [.text(token), 60_000, "1", 50, "wake:", 60_000, "~"],
                    isIdempotent: true
                )
            }
            for token in ["h.1.0", "p.1.0", "p.2.0", "p.3.0", "q.1.0"] { _ = try await acquire(token) }
            _ = try await client.run(
                SharedLockScripts.release,
                keys: keys.all,
                ["h.1.0", 50, "wake:"],
                isIdempotent: true
            )
            try await eventually("the hand-over should run out") {
                try await client.send("ZCOUNT", .text(keys.holder), .integer(Int64(Self.now())), "+inf").integer == 0
            }
            #expect(try await acquire("q.1.0").array?.first == .integer(1))
        }

        /// The time of this machine, which is also that of the server, in milliseconds.
        private static func now() -> Int {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
        }

        @Test func `a message that arrives after its waiter has taken the share ends nothing`() async throws {
            let client = try await SharedRedis.client()
            let lock = RedisSharedLock(client)
            let resource = "r-\(EventID())"
            let grant = try await lock.lock(for: .shared).acquire(resource, ttl: .seconds(60), wait: .zero)
            let keys = LockKeys(prefix: "eventbus:shared", resource: resource)
            _ = try await client.run(
                SharedLockScripts.decline,
                keys: keys.all,
                [.text(grant.owner), 500, "channel:"],
                isIdempotent: true
            )
            _ = try await lock.lock(for: .shared).renew(grant)
            try await lock.lock(for: .shared).release(grant)
        }
    }
}
