public import EventBus

/// A ``/EventBus/RateLimiter`` for the tasks of one process.
///
/// ```swift
/// let limiter = InMemoryRateLimiter()
/// try await limiter.wait(for: "mail-provider", limit: RateLimit(10, per: .seconds(1)))
/// ```
///
/// It is meant for tests and embedded services. It stores only keys whose permits have not all become available again.
public final class InMemoryRateLimiter: RateLimiter {
    /// The clock that measures limits and waits.
    public let clock: AnyClock
    private let machine = Locked(RateLimitMachine())

    /// Creates a limiter that has granted nothing.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        self.clock = AnyClock(clock)
    }

    /// Requests permits, which may be used after a delay of at most `wait`.
    public func reserve(
        _ key: String,
        permits: Int,
        limit: RateLimit,
        wait: Duration
    ) async throws -> RateLimitDecision {
        try Task.checkCancellation()
        try limit.validate(permits: permits, of: key)
        let now = clock.now
        return machine.withLock { $0.reserve(key, permits: permits, limit: limit, wait: wait, now: now) }
    }

    /// The number of stored keys.
    package var count: Int { machine.withLock { $0.count } }
}
