import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The fencing token that the server keeps of a resource, for as long as the resource is held.
    @Suite(.timeLimit(.minutes(1)))
    struct LockFenceTests {
        private let client: RedisClient
        private let lock: RedisLock
        private let resource = "r-\(EventID())"
        private let prefix = "fence-\(EventID())"
        private var fence: RedisArgument { .text(LockKeys(prefix: prefix, resource: resource).base + ":f") }

        init() async throws {
            client = try await SharedRedis.client()
            lock = RedisLock(client, prefix: prefix)
        }

        @Test func `a renewal keeps the fencing token for an hour longer than the lease`() async throws {
            let grant = try await lock.acquire(resource, ttl: .seconds(7200), wait: .zero)
            var kept = try await client.send("PTTL", fence).integer ?? 0
            #expect(kept > 10_700_000, "a grant keeps it for \(kept) ms")
            _ = try await client.send("PEXPIRE", fence, 5000)
            _ = try await lock.renew(grant)
            kept = try await client.send("PTTL", fence).integer ?? 0
            #expect(kept > 10_700_000, "a renewal keeps it for \(kept) ms")
            let holder = try #require(try await lock.holder(of: resource))
            #expect(holder.fencingToken == grant.fencingToken)
            try await lock.release(grant)
            kept = try await client.send("PTTL", fence).integer ?? 0
            #expect((3_500_000...3_600_000).contains(kept), "a release keeps it for \(kept) ms")
        }

        @Test func `what is handed over keeps the fencing token for an hour longer than the lease`() async throws {
            let grant = try await lock.acquire(resource, ttl: .seconds(60), wait: .zero)
            let waiting = Task { [lock, resource] in
                try await lock.acquire(resource, ttl: .seconds(7200), wait: .seconds(30))
            }
            try await eventually("the waiter") { try await lock.holder(of: resource)?.waiters == 1 }
            try await lock.release(grant)
            let next = try await waiting.value
            let kept = try await client.send("PTTL", fence).integer ?? 0
            #expect(kept > 10_700_000, "it is kept for \(kept) ms")
            try await lock.release(next)
        }

        @Test func `a resource whose fencing token the server has lost is held`() async throws {
            let grant = try await lock.acquire(resource, ttl: .seconds(60), wait: .zero)
            _ = try await client.send("DEL", fence)
            _ = try await lock.renew(grant)
            let holder = try #require(try await lock.holder(of: resource))
            #expect(holder.owner == grant.owner)
            #expect(holder.fencingToken == 0)
            #expect(holder.heldFor == .zero)
            #expect(try await lock.holders().map(\.resource) == [resource])
            #expect(try await lock.forceRelease(holder))
            #expect(try await lock.holder(of: resource) == nil)
        }
    }
}
