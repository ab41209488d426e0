import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("The contracts in memory")
    struct ConformanceTests {
        static let sharedLock = InMemoryLock()
        static let sharedCache = InMemoryCache()
        static let sharedInbox = InMemoryInbox()

        @Test("The lock follows its contract", arguments: LockConformance { sharedLock }.checks)
        func lock(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The cache follows its contract", arguments: CacheConformance { sharedCache }.checks)
        func cache(check: ConformanceCheck) async throws {
            try await check.run()
        }

        @Test("The inbox follows its contract", arguments: InboxConformance { sharedInbox }.checks)
        func inbox(check: ConformanceCheck) async throws {
            try await check.run()
        }
    }
}
