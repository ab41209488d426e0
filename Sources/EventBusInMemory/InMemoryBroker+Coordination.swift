import EventBus

// What a test or an embedded service needs beside the broker, on the broker's clock: with one manual clock a lease, a
// cache entry and a delayed retry age together.
extension InMemoryBroker {
    /// Makes an inbox on the broker's clock.
    public func makeInbox() -> InMemoryInbox {
        InMemoryInbox(clock: clock)
    }

    /// Makes a lock on the broker's clock.
    public func makeLock() -> InMemoryLock {
        InMemoryLock(clock: clock)
    }

    /// Makes a cache on the broker's clock.
    ///
    /// - Parameter capacity: The most entries that it holds. Defaults to 10,000.
    public func makeCache(capacity: Int = 10_000) -> InMemoryCache {
        InMemoryCache(capacity: capacity, clock: clock)
    }
}
