import EventBus
import EventBusRedis

/// Hits of the cache on both levels.
struct CacheHits {
    struct Price: Codable, Hashable, Sendable {
        var cents: Int
        var currency: String
    }

    private static let hits = 2_000_000
    private static let options = CacheOptions(ttl: .seconds(3600))

    private let makeClient: () throws -> RedisClient

    init(makeClient: @escaping () throws -> RedisClient) {
        self.makeClient = makeClient
    }

    /// Measures hits in memory, of a cache whose type the compiler knows and of one whose type it does not know.
    func measureFirstLevel() async throws {
        let cache = RedisCache(try makeClient())
        let keys = try await fill(cache, count: 1000)
        _ = try await measure(cache, keys)
        RedisThroughput.report("hit-first-level", try await measure(cache, keys), "ns")
        RedisThroughput.report("hit-first-level-any", try await measureAny(cache, keys), "ns")
    }

    func grow() async throws {
        for exponent in 3...6 {
            let count = (0..<exponent).reduce(1) { product, _ in product * 10 }
            let cache = RedisCache(
                try makeClient(),
                options: RedisCacheOptions(prefix: "growth-\(exponent)", firstLevelCapacity: count)
            )
            // In random order, so that consecutive keys are not neighbors in memory.
            let keys = try await fill(cache, count: count).shuffled()
            _ = try await measure(cache, keys)
            RedisThroughput.report("hit-beside-10^\(exponent)", try await measure(cache, keys), "ns")
        }
    }

    /// Stores values, and reads them until they are in memory.
    private func fill(_ cache: RedisCache, count: Int) async throws -> [String] {
        let keys = (0..<count).map { "price:sku-\($0)" }
        for start in stride(from: 0, to: count, by: 1000) {
            let slice = Array(keys[start..<min(start + 1000, count)])
            // The first call stores the values, and a later one keeps them in memory. A computed value is not kept
            // before the server has reported its change.
            for _ in 0..<3 {
                _ = try await cache.values(for: slice, as: Price.self, options: Self.options) { missing in
                    Dictionary(missing.map { ($0, Price(cents: 995, currency: "EUR")) }) { first, _ in first }
                }
            }
        }
        return keys
    }

    /// Returns the nanoseconds of CPU time for a hit, which waits for nothing.
    private func measure(_ cache: RedisCache, _ keys: [String]) async throws -> Double {
        var sum = 0
        let rounds = max(1, Self.hits / keys.count)
        let start = CPUTime.now
        for _ in 0..<rounds {
            for key in keys {
                sum += try await cache.value(for: key, as: Price.self, options: Self.options) {
                    throw EventBusError(.unavailable, "this was to be a hit")
                }.cents
            }
        }
        let duration = CPUTime.now - start
        guard sum == rounds * keys.count * 995 else { throw EventBusError(.unavailable, "the values are wrong") }
        return duration.nanoseconds / Double(rounds * keys.count)
    }

    /// Returns the same for a cache behind the protocol.
    @inline(never)
    private func measureAny(_ cache: any Cache, _ keys: [String]) async throws -> Double {
        var sum = 0
        let rounds = max(1, Self.hits / keys.count)
        let start = CPUTime.now
        for _ in 0..<rounds {
            for key in keys {
                sum += try await cache.value(for: key, as: Price.self, options: Self.options) {
                    throw EventBusError(.unavailable, "this was to be a hit")
                }.cents
            }
        }
        let duration = CPUTime.now - start
        guard sum == rounds * keys.count * 995 else { throw EventBusError(.unavailable, "the values are wrong") }
        return duration.nanoseconds / Double(rounds * keys.count)
    }

    func measureRedis() async throws {
        let keys = try await fill(RedisCache(try makeClient()), count: 1000)
        // Without a first level every hit asks the server.
        let cache = RedisCache(try makeClient(), options: RedisCacheOptions(firstLevelCapacity: 0))
        let ask: @Sendable (String) async throws -> Void = { key in
            _ = try await cache.value(for: key, as: Price.self, options: Self.options) {
                throw EventBusError(.unavailable, "this was to be a hit")
            }
        }
        for key in keys { try await ask(key) }
        var start = ContinuousClock.now
        for _ in 0..<5 {
            for key in keys { try await ask(key) }
        }
        RedisThroughput.report("hit-redis", start.duration(to: .now).nanoseconds / Double(5 * keys.count) / 1000, "µs")

        start = ContinuousClock.now
        try await withThrowingDiscardingTaskGroup { group in
            for _ in 0..<50 {
                group.addTask {
                    for key in keys { try await ask(key) }
                }
            }
        }
        let rate = Double(50 * keys.count) / (start.duration(to: .now) / .seconds(1))
        RedisThroughput.report("hit-redis-50", rate, "1/s")

        start = ContinuousClock.now
        for _ in 0..<5 {
            for first in stride(from: 0, to: keys.count, by: 100) {
                let batch = Array(keys[first..<min(first + 100, keys.count)])
                let found = try await cache.values(for: batch, as: Price.self, options: Self.options) { _ in [:] }
                guard found.count == batch.count else { throw EventBusError(.unavailable, "these were to be hits") }
            }
        }
        let each = start.duration(to: .now).nanoseconds / Double(5 * keys.count) / 1000
        RedisThroughput.report("hit-redis-batch", each, "µs")
    }
}
