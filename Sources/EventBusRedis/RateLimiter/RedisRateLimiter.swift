public import EventBus

/// A ``/EventBus/RateLimiter`` on one Redis server.
///
/// ```swift
/// let limiter = RedisRateLimiter(redis)
/// let decision = try await limiter.request("tenant:42", limit: RateLimit(100, per: .seconds(60)))
/// ```
///
/// A request is one round trip, with or without a wait. A key exists until its permits have all become available again.
///
/// **What is not guaranteed.** A server that loses its memory, or evicts a key, grants a whole burst again, and so does
/// a failover for grants that were not replicated. While the server cannot be reached, requests fail: whether a call
/// then passes is the caller's decision.
public final class RedisRateLimiter: RateLimiter {
    /// The clock that measures waits.
    public let clock = AnyClock.continuous
    private let client: RedisClient
    private let prefix: String
    private let metrics: RateLimiterMetrics

    /// Creates a rate limiter on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: The connection to the server.
    ///   - prefix: The prefix of the keys, without braces. Limiters with different prefixes are independent.
    public convenience init(_ client: RedisClient, prefix: String = "eventbus") {
        self.init(client, prefix: prefix, metrics: RateLimiterMetrics(prefix: prefix))
    }

    init(_ client: RedisClient, prefix: String, metrics: RateLimiterMetrics) {
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        self.client = client
        self.prefix = prefix
        self.metrics = metrics
    }

    /// Requests permits, which may be used after a delay of at most `wait`. The request is sent once.
    public func reserve(
        _ key: String,
        permits: Int,
        limit: RateLimit,
        wait: Duration
    ) async throws -> RateLimitDecision {
        try limit.validate(permits: permits, of: key)
        do {
            let decision = try await ask(key, permits, limit, wait)
            metrics.note(decision)
            return decision
        } catch {
            metrics.noteFailure()
            throw error
        }
    }

    private func ask(
        _ key: String,
        _ permits: Int,
        _ limit: RateLimit,
        _ wait: Duration
    ) async throws -> RateLimitDecision {
        let reply = try await client.run(
            RateLimitScript.reserve,
            keys: ["\(prefix):rate:\(RedisKeys.tag(key))"],
            [
                .text("\(limit.interval.inMicroseconds)"), .integer(Int64(permits)), .integer(Int64(limit.burst)),
                .text("\(wait.inMicroseconds)"),
            ],
            isIdempotent: false
        )
        guard let parts = reply.array, parts.count == 3, let granted = parts[0].integer,
            let delay = parts[1].text.flatMap({ Int64($0) }), let remaining = parts[2].text.flatMap({ Int($0) })
        else {
            throw EventBusError(.unavailable, "Redis answered a rate limit's script with something that makes no sense")
        }
        return RateLimitDecision(isGranted: granted == 1, delay: .microseconds(delay), remaining: remaining)
    }
}

extension Duration {
    /// The duration in microseconds, which a server's script reads as a number.
    fileprivate var inMicroseconds: Double { inSeconds * 1e6 }
}
