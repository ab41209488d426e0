public import EventBus

/// A ``/EventBus/Cache`` in the memory of one process, with a maximum number of entries.
///
/// ```swift
/// let cache = InMemoryCache(capacity: 1_000)
/// ```
///
/// It is meant for tests, for embedded services, and for values that instances need not share. Values are stored as
/// they are, without encoding.
public final class InMemoryCache: Cache {
    private let clock: AnyClock
    /// The entries. This lock is acquired before that of `flights`, never after it.
    private let table: Locked<CacheTable>
    private let flights: SingleFlight

    /// Creates an empty cache.
    ///
    /// - Parameters:
    ///   - capacity: The maximum number of entries. Defaults to 10,000.
    ///   - clock: The clock by which entries age. Defaults to the real time.
    public init(capacity: Int = 10_000, clock: some Clock<Duration> = ContinuousClock()) {
        let clock = AnyClock(clock)
        self.clock = clock
        self.table = Locked(CacheTable(capacity: capacity))
        self.flights = SingleFlight(clock: clock)
    }

    /// Returns the values for `keys`, from the cache or computed by one call of `compute` for all missing keys.
    public func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try CacheKeySpelling.checkDistinct(keys)
        var found = look(for: keys, as: type, options, accepting: options.staleWhileRevalidate)
        guard !found.missing.isEmpty || !found.due.isEmpty else { return found.values }

        let early = found.early
        let fill: @Sendable (SingleFlight.FlightID, [String]) async throws -> SingleFlight.Values = { flight, keys in
            // Another flight may have ended between the lookup above and the start of this one.
            let found = self.look(for: keys, as: type, options, accepting: .zero, beyond: early)
            guard !found.missing.isEmpty else { return found.values }
            let start = self.clock.now
            let computed = try await compute(found.missing)
            self.store(computed, for: found.missing, of: flight, options, computing: start.duration(to: self.clock.now))
            return found.values.merging(computed) { $1 }
        }
        func plan(_ keys: [String]) -> SingleFlight.Plan {
            SingleFlight.Plan(
                keys: keys,
                type: ObjectIdentifier(type),
                tags: options.tags,
                timeout: options.computeTimeout,
                failureTTL: options.failureTTL,
                fill: fill
            )
        }
        if !found.due.isEmpty { flights.refresh(plan(found.due)) }
        guard !found.missing.isEmpty else { return found.values }

        let outcome = try await flights.outcome(of: plan(found.missing))
        for (key, value) in outcome.values { found.values[key] = value as? Value }
        if !outcome.failures.isEmpty {
            let failed = Array(outcome.failures.keys)
            let fallback = look(for: failed, as: type, options, accepting: options.staleOnError)
            if let key = fallback.missing.first, let error = outcome.failures[key] { throw error }
            found.values.merge(fallback.values) { $1 }
        }
        return found.values
    }

    /// Stores a value, and invalidates computations for its key that began before.
    public func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {
        let now = clock.now
        table.withLock { table in
            flights.void([key])
            table.insert(entry(value, for: key, ttl: options.ttl, options, now, computing: .zero), now: now)
        }
    }

    /// Returns the value for `key` if it has the given type and is fresh.
    public func cachedValue(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)? {
        let now = clock.now
        return table.withLock { table in
            guard let entry = table.entry(for: key, now: now), now < entry.freshUntil,
                let value = entry.value, Swift.type(of: value) == type,
                !options.mayBeDueEarly(left: now.duration(to: entry.freshUntil), computing: entry.computing)
            else { return nil }
            return value
        }
    }

    /// Removes entries, and invalidates computations for their keys that began before.
    public func remove(_ keys: [String]) async throws {
        table.withLock { table in
            flights.void(keys)
            for key in keys { table.remove(key) }
        }
    }

    /// Removes every entry that was stored with `tag`, and invalidates computations with this tag that began before.
    public func removeAll(tag: String) async throws {
        table.withLock { table in
            flights.void(tag: tag)
            table.removeAll(tag: tag)
        }
    }

    /// The number of entries, including expired ones that nobody has requested since.
    package var count: Int { table.withLock { $0.count } }

    private struct Found<Value> {
        var values: [String: Value] = [:]
        /// The keys whose values are stale or due for an early refresh.
        var due: [String] = []
        /// The ends of freshness of the values that are due for an early refresh.
        var early: [String: AnyClock.Instant] = [:]
        var missing: [String] = []
    }

    private func look<Value>(
        for keys: [String],
        as type: Value.Type,
        _ options: CacheOptions,
        accepting staleness: Duration,
        beyond early: [String: AnyClock.Instant] = [:]
    ) -> Found<Value> {
        let now = clock.now
        return table.withLock { table in
            var found = Found<Value>()
            var seen: Set<String> = []
            for key in keys where keys.count == 1 || seen.insert(key).inserted {
                guard let entry = table.entry(for: key, now: now),
                    now < entry.freshUntil.advanced(by: max(.zero, staleness)),
                    entry.freshUntil != early[key]
                else {
                    found.missing.append(key)
                    continue
                }
                if let value = entry.value as? Value {
                    found.values[key] = value
                } else if entry.value != nil || options.negativeTTL == nil {
                    found.missing.append(key)
                    continue
                }
                if now >= entry.freshUntil {
                    found.due.append(key)
                } else if options.isDueEarly(left: now.duration(to: entry.freshUntil), computing: entry.computing) {
                    found.due.append(key)
                    found.early[key] = entry.freshUntil
                }
            }
            return found
        }
    }

    private func store<Value: Sendable>(
        _ values: [String: Value],
        for keys: [String],
        of flight: SingleFlight.FlightID,
        _ options: CacheOptions,
        computing: Duration
    ) {
        let now = clock.now
        table.withLock { table in
            for key in keys where flights.isCurrent(flight, for: key) {
                if let value = values[key] {
                    table.insert(entry(value, for: key, ttl: options.ttl, options, now, computing: computing), now: now)
                } else if let ttl = options.negativeTTL {
                    table.insert(entry(nil, for: key, ttl: ttl, options, now, computing: computing), now: now)
                } else {
                    table.remove(key)
                }
            }
        }
    }

    private func entry(
        _ value: (any Sendable)?,
        for key: String,
        ttl: Duration,
        _ options: CacheOptions,
        _ now: AnyClock.Instant,
        computing: Duration
    ) -> CacheTable.Entry {
        let freshUntil = now.advanced(by: options.freshness(of: ttl))
        return CacheTable.Entry(
            key: key,
            value: value,
            freshUntil: freshUntil,
            keepUntil: freshUntil.advanced(by: options.staleness),
            computing: computing,
            tags: options.tags
        )
    }
}
