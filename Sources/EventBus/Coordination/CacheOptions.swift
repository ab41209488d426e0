import Glibc

/// How long a cached value is kept, and how strictly.
///
/// The life of an entry: *fresh* for ``ttl``, less the jitter; then, for ``staleWhileRevalidate``, served while a new
/// value is computed behind; until the end of ``staleOnError`` at hand in case that a computation fails; then gone. Both
/// stale periods begin where freshness ends. The options given when an entry is stored decide how long it is fresh and
/// kept, those given when it is read how much staleness the reader accepts.
public struct CacheOptions: Hashable, Sendable {
    /// How long a value is fresh; 60 s unless stated.
    public var ttl: Duration
    /// By which part of ``ttl`` at most an entry's freshness is shortened, at random, so that entries that were stored
    /// together are not computed together again; 0.1 unless stated, from 0 to 1.
    public var jitter: Double
    /// For how long after that a stale value is served while a computation behind renews it; zero unless stated.
    ///
    /// A renewal that fails shows at the latest when this time is over: whoever asks then computes, and gets the error.
    public var staleWhileRevalidate: Duration
    /// For how long after that a stale value is served when the computation fails; zero unless stated.
    public var staleOnError: Duration
    /// How eagerly a value that is still fresh is computed anew behind, so that nobody has to wait when its time is over;
    /// zero, as unless stated, means never, and one is right for most.
    ///
    /// Near the end of its freshness each reader draws whether to begin, the sooner the longer the value took to compute:
    /// when `computing time · earlyRefresh · −ln(random number)` exceeds the time that is left (A. Vattani, F. Chierichetti
    /// and K. Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015). A value that was set took no time.
    public var earlyRefresh: Double
    /// How long it is remembered that there is no value; `nil`, as unless stated, means that it is computed each time.
    public var negativeTTL: Duration?
    /// For how long the error of a failed computation is handed to those who ask for the key next, instead of computing
    /// again; and for how long a renewal behind is not tried again. Defaults to 250 ms; zero for not at all.
    ///
    /// Changing or removing the key ends that time. Caches of other processes are told that computing has failed, and try
    /// it once each, so that their callers get an error of their own.
    public var failureTTL: Duration
    /// Names by which entries can be removed together.
    public var tags: Set<String>
    /// After how long a computation is given up, so that one that hangs does not hold up its key; 30 s unless stated.
    public var computeTimeout: Duration

    /// Options; each has a default.
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

    /// How long an entry that is stored now is fresh, if it may be so for `ttl` at most; `draw` is from 0 to 1.
    package func freshness(of ttl: Duration, draw: Double = .random(in: 0...1)) -> Duration {
        // In this order `max` turns what is no number into zero.
        let part = min(max(0, jitter), 1)
        return ttl.clampedToLongest * (1 - part * draw)
    }

    /// Whether who reads an entry that is fresh for `left` more, and took `computing`, begins to compute it anew; `draw` is
    /// from 0 to 1, without 1.
    package func isDueEarly(left: Duration, computing: Duration, draw: Double = .random(in: 0..<1)) -> Bool {
        mayBeDueEarly(left: left, computing: computing) && left / computing < earlyRefresh * -log(1 - draw)
    }

    /// Whether ``isDueEarly(left:computing:draw:)`` can be true for some draw; costs no draw.
    package func mayBeDueEarly(left: Duration, computing: Duration) -> Bool {
        // The smallest of `1 - draw` is 2 to the power of -53.
        earlyRefresh > 0 && computing > .zero && left / computing < earlyRefresh * 37
    }

    /// For how long after its freshness an entry has to be kept.
    package var staleness: Duration { max(.zero, staleWhileRevalidate, staleOnError) }
}
