import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("The contracts in memory")
    struct ConformanceTests {
        static let sharedLock = InMemoryLock()
        static let sharedCache = InMemoryCache()
        static let sharedRateLimiter = InMemoryRateLimiter()
        static let readWriteLock = InMemorySharedLock()
        static let sharedInbox = InMemoryInbox()

        @Test("The lock follows its contract", arguments: LockConformance { sharedLock }.checks)
        func lock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The cache follows its contract", arguments: CacheConformance { sharedCache }.checks)
        func cache(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The rate limiter follows its contract", arguments: RateLimiterConformance { sharedRateLimiter }.checks)
        func rateLimiter(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The shared lock follows its contract", arguments: SharedLockConformance { readWriteLock }.checks)
        func sharing(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test(
            "A share of a shared lock follows the contract of the lock",
            arguments: LockConformance { readWriteLock.lock(for: .shared(limit: 1)) }.checks
        )
        func share(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The inbox follows its contract", arguments: InboxConformance { sharedInbox }.checks)
        func inbox(check: ConformanceCheck) async throws {
            try await check.run()
        }
    }
}
