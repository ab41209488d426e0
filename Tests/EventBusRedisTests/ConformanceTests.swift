import EventBusTesting
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite("The contracts on Redis", .timeLimit(.minutes(5)))
    struct ConformanceTests {
        /// Two objects with separate connections, as two processes would have.
        static let locks = RoundRobin { try await RedisLock(SharedRedis.client()) }

        static let inboxes = RoundRobin { try await RedisInbox(SharedRedis.client()) }

        static let caches = RoundRobin { try await RedisCache(SharedRedis.client()) }

        @Test(
            "The lock follows its contract",
            arguments: LockConformance(ttl: .milliseconds(600)) { try await locks.next() }.checks
        )
        func lock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The inbox follows its contract", arguments: InboxConformance { try await inboxes.next() }.checks)
        func inbox(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The cache follows its contract", arguments: CacheConformance { try await caches.next() }.checks)
        func cache(check: ConformanceCheck) async throws {
            try await check.run()
        }
    }
}
