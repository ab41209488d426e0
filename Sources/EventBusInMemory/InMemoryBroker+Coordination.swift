import EventBus

// Coordination for a test or an embedded service on the broker's clock: with one manual clock, a lease, a cache entry
// and a delayed retry age together.
extension InMemoryBroker {
    /// Returns a new inbox on the broker's clock.
    public func makeInbox() -> InMemoryInbox {
        InMemoryInbox(clock: clock)
    }

    /// Returns a new lock on the broker's clock.
    public func makeLock() -> InMemoryLock {
        InMemoryLock(clock: clock)
    }

    /// Returns a new read-write lock and semaphore on the broker's clock.
    public func makeSharedLock() -> InMemorySharedLock {
        InMemorySharedLock(clock: clock)
    }

    /// Returns a new rate limiter on the broker's clock.
    public func makeRateLimiter() -> InMemoryRateLimiter {
        InMemoryRateLimiter(clock: clock)
    }

    /// Returns a new cache on the broker's clock.
    ///
    /// - Parameter capacity: The maximum number of entries. Defaults to 10,000.
    public func makeCache(capacity: Int = 10_000) -> InMemoryCache {
        InMemoryCache(capacity: capacity, clock: clock)
    }
}
