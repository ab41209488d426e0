import Metrics

/// The metrics of a cache, under `eventbus.cache.`.
struct CacheMetrics: Sendable {
    /// The number of values served from the memory of this process.
    let firstLevelHits: Counter
    /// The number of values served from Redis.
    let redisHits: Counter
    /// The number of keys that were found on neither level.
    let misses: Counter
    /// The number of calls of `compute`.
    let computes: Counter
    /// The number of calls of `compute` that failed.
    let failures: Counter
    /// The number of waits for a computation in another process.
    let waits: Counter
    /// The number of stale values served.
    let stale: Counter
    /// The number of steps that failed in Redis.
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
