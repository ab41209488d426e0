/// The options for reading and storing cached values.
///
/// An entry is *fresh* for ``ttl``, minus the jitter. After that it is stale: for ``staleWhileRevalidate`` it is served
/// while a new value is computed in the background, and until ``staleOnError`` has passed it is kept as a fallback for
/// failed computations. Then it is removed. Both stale periods start when freshness ends. The options that are passed
/// when an entry is stored determine how long it is fresh and kept. The options that are passed when it is read
/// determine how much staleness the reader accepts.
///
/// ```swift
/// var options = CacheOptions(ttl: .seconds(30))
/// options.staleOnError = .seconds(600)
/// options.tags = ["prices"]
/// ```
public struct CacheOptions: Hashable, Sendable {
    /// The time for which a value is fresh. Defaults to 60 s.
    public var ttl: Duration
    /// The maximum fraction of ``ttl``, from 0 to 1, by which an entry's freshness is shortened at random, so that
    /// entries that were stored together do not expire together. Defaults to 0.1.
    public var jitter: Double
    /// The time after freshness for which a stale value is served while a new value is computed in the background.
    /// Defaults to zero.
    ///
    /// A failed refresh becomes visible when this time is over at the latest: the next caller computes the value and
    /// gets the error.
    public var staleWhileRevalidate: Duration
    /// The time after freshness for which a stale value is served if the computation fails. Defaults to zero.
    public var staleOnError: Duration
    /// The aggressiveness with which a fresh value is recomputed in the background before it expires, so that nobody
    /// has to wait. Zero disables early refresh, and 1 suits most values. Defaults to zero.
    ///
    /// Each reader decides at random whether to start a refresh. The longer the value took to compute, the earlier that
    /// happens: when `computing time · earlyRefresh · −ln(random number)` exceeds the remaining time (A. Vattani, F.
    /// Chierichetti and K. Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015). A value that was set
    /// has a computing time of zero.
    public var earlyRefresh: Double
    /// The time for which the absence of a value is cached, or `nil` to compute the value again on each request.
    /// Defaults to `nil`.
    public var negativeTTL: Duration?
    /// The time for which the error of a failed computation is returned to the callers that ask for the key next,
    /// instead of computing again, and for which a failed background refresh is not repeated. Zero disables both.
    /// Defaults to 250 ms.
    ///
    /// Changing or removing the key ends that time. Caches of other processes are told that the computation has failed.
    /// Each of them tries once, so that their callers get an error of their own process.
    public var failureTTL: Duration
    /// The names by which entries can be removed together, such as `["prices"]`. Defaults to none.
    public var tags: Set<String>
    /// The maximum duration of a computation, so that one that hangs does not block its key. Defaults to 30 s.
    public var computeTimeout: Duration

    /// Creates options. Omitted values use the defaults.
    public init(
        ttl: Duration = .seconds(60),
        jitter: Double = 0.1,
        staleWhileRevalidate: Duration = .zero,
        staleOnError: Duration = .zero,
        earlyRefresh: Double = 0,
        negativeTTL: Duration? = nil,
        failureTTL: Duration = .milliseconds(250),
        tags: Set<String> = [],
        computeTimeout: Duration = .seconds(30)
    ) {
        self.ttl = ttl
        self.jitter = jitter
        self.staleWhileRevalidate = staleWhileRevalidate
        self.staleOnError = staleOnError
        self.earlyRefresh = earlyRefresh
        self.negativeTTL = negativeTTL
        self.failureTTL = failureTTL
        self.tags = tags
        self.computeTimeout = computeTimeout
    }

    /// Returns the time for which an entry that is stored now is fresh, given its `ttl`. `draw` is a random number from
    /// 0 to 1.
    package func freshness(of ttl: Duration, draw: Double = .random(in: 0...1)) -> Duration {
        // With the arguments in this order, `max` turns NaN into zero.
        let part = min(max(0, jitter), 1)
        return ttl.clampedToLongest * (1 - part * draw)
    }

    /// Returns a Boolean value indicating whether the reader of an entry that is fresh for `left` and took `computing`
    /// starts an early refresh. `draw` is a random number from 0 up to, but not including, 1.
    package func isDueEarly(left: Duration, computing: Duration, draw: Double = .random(in: 0..<1)) -> Bool {
        mayBeDueEarly(left: left, computing: computing)
            && left / computing < earlyRefresh * -Platform.logarithm(of: 1 - draw)
    }

    /// Returns a Boolean value indicating whether ``isDueEarly(left:computing:draw:)`` can be true for any random
    /// number. It draws none.
    package func mayBeDueEarly(left: Duration, computing: Duration) -> Bool {
        // The smallest value of `1 - draw` is 2 to the power of -53.
        earlyRefresh > 0 && computing > .zero && left / computing < earlyRefresh * 37
    }

    /// The time for which an entry has to be kept after its freshness.
    package var staleness: Duration { max(.zero, staleWhileRevalidate, staleOnError) }
}
