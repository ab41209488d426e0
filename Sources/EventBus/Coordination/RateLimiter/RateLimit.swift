/// The number of permits that a ``RateLimiter`` grants in a period.
///
/// ```swift
/// let perMinute = RateLimit(60, per: .seconds(60), burst: 10)
/// ```
///
/// Permits become available evenly: with this limit one a second. At most ``burst`` of them accumulate while nobody
/// asks. The limit is a leaky bucket, so it has no windows at whose edges twice the number could be granted.
public struct RateLimit: Hashable, Sendable {
    /// The number of permits that become available in each ``period``.
    public var count: Int
    /// The time in which ``count`` permits become available.
    public var period: Duration
    /// The maximum number of permits that can be granted at once. Defaults to ``count``.
    public var burst: Int

    /// Creates a limit.
    ///
    /// - Parameters:
    ///   - count: The number of permits in each period, at least 1.
    ///   - period: The period. One permit must take at least 1 µs.
    ///   - burst: The maximum number of permits at once, at least 1. Defaults to `count`.
    public init(_ count: Int, per period: Duration, burst: Int? = nil) {
        self.count = count
        self.period = period
        self.burst = burst ?? count
    }

    /// The time in which one permit becomes available.
    package var interval: Duration { period / count }

    /// The time in which the whole burst becomes available.
    package var capacity: Duration { interval * burst }

    /// Throws if the limit is invalid or can never grant `permits`.
    package func validate(permits: Int, of key: String) throws(EventBusError) {
        // Longer times would lose precision in the arithmetic of a server.
        let isValid =
            count >= 1 && burst >= 1 && period > .zero && period < .longest && interval >= .microseconds(1)
            && interval.inSeconds * Double(burst) < 1e9
        guard isValid else {
            throw EventBusError(
                .invalidConfiguration,
                "the rate limit of \(key.quotedForError) is \(count) per \(period) with a burst of \(burst); the "
                    + "numbers have to be positive, and one permit has to take from 1 µs up to 30 years divided by the "
                    + "burst"
            )
        }
        guard permits >= 1, permits <= burst else {
            throw EventBusError(
                .invalidConfiguration,
                "\(permits) permits of \(key.quotedForError) can never be granted at once; request from 1 up to the "
                    + "burst of \(burst)"
            )
        }
    }
}
