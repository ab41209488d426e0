import EventBus
import EventBusTesting
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite("The contracts on Redis", .timeLimit(.minutes(5)))
    struct ConformanceTests {
        /// Two objects with separate connections, as two processes would have.
        static let locks = RoundRobin { try await RedisLock(SharedRedis.client()) }

        static let sharedLocks = RoundRobin { try await RedisSharedLock(SharedRedis.client()) }

        static let inboxes = RoundRobin { try await RedisInbox(SharedRedis.client()) }

        static let rateLimiters = RoundRobin { try await RedisRateLimiter(SharedRedis.client()) }

        static let caches = RoundRobin { try await RedisCache(SharedRedis.client()) }

        @Test(
            "The lock follows its contract",
            arguments: LockConformance(ttl: .milliseconds(600)) { try await locks.next() }.checks
        )
        func lock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test(
            "The shared lock follows its contract",
            arguments: SharedLockConformance(ttl: .milliseconds(600)) { try await sharedLocks.next() }.checks
        )
        func sharedLock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test(
            "A share of a shared lock follows the contract of the lock",
            arguments: LockConformance(ttl: .milliseconds(600)) { try await sharedLocks.next().lock(for: .exclusive) }
                .checks
        )
        func share(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The inbox follows its contract", arguments: InboxConformance { try await inboxes.next() }.checks)
        func inbox(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test(
            "The rate limiter follows its contract",
            arguments: RateLimiterConformance { try await rateLimiters.next() }.checks
        )
        func rateLimiter(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The cache follows its contract", arguments: CacheConformance { try await caches.next() }.checks)
        func cache(check: ConformanceCheck) async throws {
            try await check.run()
        }
    }
}
