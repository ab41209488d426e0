import EventBus

/// The buckets of a rate limiter, one for each key. It reads no clock: the caller passes the time.
///
/// Each granted permit adds the time in which one becomes available to the level of its bucket, and the level falls as
/// time passes.
struct RateLimitMachine {
    typealias Instant = AnyClock.Instant

    private struct Bucket {
        var level: Duration
        /// The time of ``level``.
        var time: Instant

        func level(at now: Instant) -> Duration { max(.zero, level - max(.zero, time.duration(to: now))) }
    }

    private var buckets: [ExactString: Bucket] = [:]
    private var sweepThreshold = 64

    /// The number of keys with permits that have not become available again, as far as known.
    var count: Int { buckets.count }

    mutating func reserve(
        _ key: String,
        permits: Int,
        limit: RateLimit,
        wait: Duration,
        now: Instant
    ) -> RateLimitDecision {
        sweepIfLarge(now: now)
        let name = ExactText(key)
        let level = buckets[name]?.level(at: now) ?? .zero
        let filled = level + limit.interval * permits
        let delay = max(.zero, filled - limit.capacity)
        guard delay <= wait else {
            return RateLimitDecision(isGranted: false, delay: delay, remaining: limit.permits(left: level))
        }
        buckets[name] = Bucket(level: filled, time: now)
        return RateLimitDecision(isGranted: true, delay: delay, remaining: limit.permits(left: filled))
    }

    /// Removes empty buckets, each time the table has doubled.
    private mutating func sweepIfLarge(now: Instant) {
        guard buckets.count >= sweepThreshold else { return }
        buckets = buckets.filter { $0.value.level(at: now) > .zero }
        sweepThreshold = max(64, buckets.count * 2)
    }
}

extension RateLimit {
    /// The number of permits that a bucket with this level can grant immediately.
    fileprivate func permits(left level: Duration) -> Int {
        // Slightly more, because the quotient of two durations is rounded.
        max(0, Int((capacity - level) / interval + 1e-6))
    }
}
