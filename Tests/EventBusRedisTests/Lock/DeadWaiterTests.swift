import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The records of waiters that are gone, while the resource is held.
    @Suite(.timeLimit(.minutes(2)))
    struct DeadWaiterTests {
        enum Kind: CaseIterable {
            case exclusive
            case shared

            var acquire: RedisScript { self == .exclusive ? LockScripts.acquire : SharedLockScripts.acquire }
            var prefix: String { self == .exclusive ? "eventbus" : "eventbus:shared" }

            func lock(_ client: RedisClient) -> any DistributedLock {
                switch self {
                case .exclusive: RedisLock(client, handOverTime: .milliseconds(50))
                case .shared: RedisSharedLock(client, handOverTime: .milliseconds(50)).lock(for: .exclusive)
                }
            }
        }

        private func counts(_ keys: LockKeys, _ client: RedisClient) async throws -> (line: Int64, processes: Int64) {
            let line = try await client.send("ZCARD", .text(keys.base + ":w")).integer ?? -1
            let processes = try await client.send("HLEN", .text(keys.base + ":c")).integer ?? -1
            return (line, processes)
        }

        @Test(arguments: Kind.allCases)
        func `waiters that died while the resource is held do not pile up as long as another waits`(kind: Kind)
            async throws
        {
            let server = try await RedisServer()
            let client = try server.client()
            let keys = LockKeys(prefix: kind.prefix, resource: "sku")
            let holder = try await kind.lock(client).acquire("sku", ttl: .seconds(600), wait: .zero)
            let waiting = Task { [lock = kind.lock(try server.client())] in
                try await lock.acquire("sku", ttl: .seconds(600), wait: .seconds(600))
            }
            try await eventually("the live one should stand in line first") {
                try await counts(keys, client).line == 1
            }
            for number in 0..<500 {
                _ = try await client.run(
                    kind.acquire,
                    keys: keys.all,
                    [.text("p\(number).1.0"), 60_000, "1", 50, "wake:", 1, "-"],
                    isIdempotent: true
                )
            }
            try await eventually("the dead ones should be forgotten", within: .seconds(60)) {
                let counts = try await counts(keys, client)
                return counts.line < 20 && counts.processes < 20
            }
            try await kind.lock(client).release(holder)
            waiting.cancel()
            _ = await waiting.result
        }

        @Test(arguments: Kind.allCases)
        func `a process whose last waiter has left or was granted the resource is forgotten`(kind: Kind) async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let keys = LockKeys(prefix: kind.prefix, resource: "sku")
            let holder = try await kind.lock(client).acquire("sku", ttl: .seconds(600), wait: .zero)
            func wait(_ line: Int64) async throws -> Task<LockGrant, any Error> {
                let task = Task { [lock = kind.lock(try server.client())] in
                    try await lock.acquire("sku", ttl: .seconds(600), wait: .seconds(600))
                }
                try await eventually("it should stand in line") { try await counts(keys, client).line == line }
                return task
            }
            let (first, second, third) = (try await wait(1), try await wait(2), try await wait(3))
            second.cancel()
            _ = await second.result
            try await eventually("it should leave") { try await counts(keys, client) == (2, 2) }
            try await kind.lock(client).release(holder)
            _ = try await first.value
            try await eventually("only the other one should wait") { try await counts(keys, client) == (1, 1) }
            third.cancel()
            _ = await third.result
            try await eventually("nothing should be left") { try await counts(keys, client) == (0, 0) }
        }
    }
}
