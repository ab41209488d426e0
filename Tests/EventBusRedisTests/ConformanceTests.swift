import EventBusTesting
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite("The contracts, on Redis", .timeLimit(.minutes(5)))
    struct ConformanceTests {
        /// Two objects with connections of their own, as two processes would have.
        static let locks = RoundRobin { try await RedisLock(SharedRedis.client()) }

        static let inboxes = RoundRobin { try await RedisInbox(SharedRedis.client()) }

        static let caches = RoundRobin { try await RedisCache(SharedRedis.client()) }

        @Test(
            "The lock keeps its contract",
            arguments: LockConformance(ttl: .milliseconds(600)) { try await locks.next() }.checks
        )
        func lock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The inbox keeps its contract", arguments: InboxConformance { try await inboxes.next() }.checks)
        func inbox(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The cache keeps its contract", arguments: CacheConformance { try await caches.next() }.checks)
        func cache(check: ConformanceCheck) async throws {
            try await check.run()
        }
    }
}
