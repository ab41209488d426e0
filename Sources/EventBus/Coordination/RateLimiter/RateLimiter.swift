/// A limit on how often something happens, which several processes share.
///
/// ```swift
/// let decision = try await limiter.request("tenant:42", limit: RateLimit(100, per: .seconds(60)))
/// guard decision.isGranted else {
///     throw TooManyRequests(retryAfter: decision.delay)
/// }
/// ```
///
/// A handler of events that calls a limited service either waits for its turn or postpones the event:
///
/// ```swift
/// let limit = RateLimit(10, per: .seconds(1))
/// try await limiter.wait(for: "mail-provider", limit: limit, atMost: .seconds(5))
/// ```
///
/// If the permits do not become available in time, `wait` throws an error with code `.rateLimited`. A handler that does not
/// catch it postpones its event until the permits would be available, and the attempt does not count.
///
/// The limit is passed with each request, so different tenants may have different limits. All requests for one key
/// should use the same one.
///
/// Use ``request(_:permits:limit:)`` and ``wait(for:permits:limit:atMost:)``. The requirements below are for
/// implementations. `RateLimiterConformance` in `EventBusTesting` checks the following guarantees:
///
/// - **Limited.** In any span of time, at most the burst plus the permits that become available in that span are
///   granted, however many tasks and processes ask.
/// - **Refusals are free.** A refused request uses no permits.
/// - **Order.** Requests that wait get their permits in the order in which they asked, without asking again.
/// - **Independent keys.** Keys are compared byte by byte.
public protocol RateLimiter: Sendable {
    /// The clock that measures waits.
    var clock: AnyClock { get }

    /// Requests permits, which may be used after a delay of at most `wait`.
    ///
    /// Granted permits are used even if the caller does not wait for them, because later requests have been given later
    /// times.
    ///
    /// - Parameters:
    ///   - key: The name of the limited thing. It must not be empty.
    ///   - permits: The number of permits, from 1 to the burst of `limit`.
    ///   - limit: The valid limit.
    ///   - wait: The maximum delay that the caller accepts. It must not be negative.
    /// - Throws: ``EventBusError``: `.unavailable` or `.timedOut` if the store could not be asked, or `.indeterminate`
    ///   if it did not answer, in which case the permits may have been used.
    func reserve(
        _ key: String,
        permits: Int,
        limit: RateLimit,
        wait: Duration
    ) async throws -> RateLimitDecision
}

extension RateLimiter {
    /// Requests permits that can be used immediately.
    ///
    /// ```swift
    /// let decision = try await limiter.request("tenant:42", limit: RateLimit(100, per: .seconds(60)))
    /// ```
    ///
    /// - Parameters:
    ///   - key: The name of the limited thing, such as `tenant:42`.
    ///   - permits: The number of permits, of which none or all are granted. Defaults to 1.
    ///   - limit: The limit.
    /// - Returns: The decision. If it is a refusal, its ``RateLimitDecision/delay`` tells when to ask again.
    /// - Throws: ``EventBusError``: `.invalidName` for an empty key; `.invalidConfiguration` for an invalid limit, and
    ///   for more permits than its burst; `.unavailable`, `.timedOut` or `.indeterminate` if the store did not answer.
    ///   Whether a request then passes is the caller's decision. `CancellationError`.
    public func request(_ key: String, permits: Int = 1, limit: RateLimit) async throws -> RateLimitDecision {
        try validate(key, permits: permits, limit: limit)
        return try await reserve(key, permits: permits, limit: limit, wait: .zero)
    }

    /// Waits until the permits may be used.
    ///
    /// The waiting time is known with the answer to the request. A wait that would be too long fails immediately.
    ///
    /// - Parameters:
    ///   - key: The name of the limited thing, such as `mail-provider`.
    ///   - permits: The number of permits. Defaults to 1.
    ///   - limit: The limit.
    ///   - wait: The maximum time to wait. Defaults to 10 s.
    /// - Throws: The errors of ``request(_:permits:limit:)``; ``EventBusError`` with code `.rateLimited`, which uses no
    ///   permits, if they do not become available within `wait`; `CancellationError`, after which they count as used.
    public func wait(
        for key: String,
        permits: Int = 1,
        limit: RateLimit,
        atMost wait: Duration = .seconds(10)
    ) async throws {
        try validate(key, permits: permits, limit: limit)
        guard wait >= .zero else {
            throw EventBusError(
                .invalidConfiguration,
                "the wait for \(key.quotedForError) is \(wait); it cannot be negative"
            )
        }
        let decision = try await reserve(key, permits: permits, limit: limit, wait: min(wait, .longest))
        guard decision.isGranted else {
            throw EventBusError(
                .rateLimited,
                "the rate limit of \(key.quotedForError), \(limit.count) per \(limit.period), has no permits within "
                    + "\(wait); ask again in \(decision.delay)",
                underlying: RetryLater(after: decision.delay, countsAsAttempt: false)
            )
        }
        if decision.delay > .zero { try await clock.sleep(for: decision.delay) }
    }

    private func validate(_ key: String, permits: Int, limit: RateLimit) throws(EventBusError) {
        guard !key.isEmpty else {
            throw EventBusError(.invalidName, "a rate limit needs the name of what it limits; it is empty")
        }
        try limit.validate(permits: permits, of: key)
    }
}
