import Metrics

/// What a cache counts, under `eventbus.cache.`.
struct CacheMetrics: Sendable {
    /// Values from the memory of this process.
    let firstLevelHits: Counter
    /// Values from Redis.
    let redisHits: Counter
    /// Keys that were in neither.
    let misses: Counter
    /// Calls of `compute`.
    let computes: Counter
    /// Calls of `compute` that failed.
    let failures: Counter
    /// Waits for a computation of another process.
    let waits: Counter
    /// Values served past their freshness.
    let stale: Counter
    /// Steps that Redis did not do.
    let errors: Counter

    init(prefix: String, factory: any MetricsFactory) {
        func counter(_ name: String, _ dimensions: [(String, String)] = []) -> Counter {
            Counter(label: "eventbus.cache.\(name)", dimensions: [("cache", prefix)] + dimensions, factory: factory)
        }
        firstLevelHits = counter("hits", [("level", "first")])
        redisHits = counter("hits", [("level", "redis")])
        misses = counter("misses")
        computes = counter("computes")
        failures = counter("failures")
        waits = counter("waits")
        stale = counter("stale")
        errors = counter("errors")
    }
}
