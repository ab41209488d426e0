/// The answer of a ``RateLimiter`` to a request for permits.
///
/// ```swift
/// let decision = try await limiter.request("mail", limit: RateLimit(10, per: .seconds(1)))
/// if !decision.isGranted { throw RetryLater(after: decision.delay, countsAsAttempt: false) }
/// ```
public struct RateLimitDecision: Hashable, Sendable {
    /// A Boolean value indicating whether the permits were granted.
    public var isGranted: Bool
    /// If the permits were granted, the time after which they may be used. It is zero unless the request accepted a
    /// wait. If they were refused, the time after which they would be granted immediately, unless others take them.
    public var delay: Duration
    /// The number of permits that could be granted immediately after this request.
    public var remaining: Int

    /// Creates a decision. It is called by implementations of ``RateLimiter`` only.
    public init(isGranted: Bool, delay: Duration, remaining: Int) {
        self.isGranted = isGranted
        self.delay = delay
        self.remaining = remaining
    }
}
