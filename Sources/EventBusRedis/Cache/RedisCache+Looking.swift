import CoreMetrics
import EventBus

extension RedisCache {
    /// The result of a lookup: the values found, and the keys without a value.
    struct LookupResult<Value: Sendable> {
        var values: [String: Value] = [:]
        /// The keys in `values` whose values are stale.
        var stale: [String] = []
        /// The keys of fresh values that are due for an early refresh, with the remaining time of freshness.
        var early: [String: Duration] = [:]
        var missing: [String] = []
        /// The missing keys that the server could not be asked for.
        var unanswered: [String] = []
    }

    /// The server's answer for one key.
    enum CacheLookup {
        case hit(StoredValue, EntryAge, tags: [String])
        /// The absence of a value, which is cached.
        case none(EntryAge, tags: [String])
        /// This process has the lease and computes the value.
        case compute
        /// Another process computes the value. Its lease ends after this time.
        case busy(Duration)
        /// There is no value, and this is the token of the process that computes one.
        case miss(lease: String?)
        /// A computation of the value has just failed, here or elsewhere.
        case failedLately
        /// The server did not answer, or answered with an error.
        case failed
    }

    /// The remaining freshness of an entry, the time that it is kept after that, and the time that it took to compute.
    struct EntryAge {
        let fresh: Duration
        let staleness: Duration
        let computing: Duration
    }

    func lookInMemory<Value: Sendable>(
        for keys: [String],
        as type: Value.Type,
        _ options: CacheOptions,
        accepting staleness: Duration,
        evenIfIncoherent: Bool = false
    ) -> LookupResult<Value> {
        let now = FirstLevelTable.now
        let found = level.withTable { table in
            var found = LookupResult<Value>()
            var seen: Set<String> = []
            for key in keys where keys.count == 1 || seen.insert(key).inserted {
                guard let entry = table.entry(for: key, now: now, evenIfIncoherent: evenIfIncoherent),
                    now < entry.freshUntil.advanced(by: max(.zero, staleness))
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
                found.note(key, now.duration(to: entry.freshUntil), entry.computing, options)
            }
            return found
        }
        if !found.values.isEmpty { metrics.firstLevelHits.increment(by: found.values.count) }
        return found
    }

    /// Asks the server for the missing keys, and keeps the results in memory. On failure, the keys stay missing.
    func lookOnServer<Value: Codable & Sendable>(
        _ found: inout LookupResult<Value>,
        as type: Value.Type,
        _ options: CacheOptions,
        accepting staleness: Duration
    ) async {
        let asked = found.missing
        let markers = level.withTable { table in asked.map { table.beginReading($0) } }
        let (start, sent) = (clock.now, FirstLevelTable.now)
        let looks = await look(for: asked, options, accepting: staleness, token: "")
        let coherentSince = level.coherentSince
        var missing: [String] = []
        var entries: [FirstLevelTable.Entry?] = []
        for (key, look) in zip(asked, looks) {
            var entry: FirstLevelTable.Entry?
            switch look {
            case .hit(let stored, let age, let tags):
                if let (value, size) = decoded(type, from: stored) {
                    entry = self.entry(value, age, tags, size: size + key.utf8.count, sent)
                    found.values[key] = value
                    found.note(key, age.fresh, age.computing, options)
                    metrics.redisHits.increment()
                }
            case .none(let age, let tags):
                entry = self.entry(nil, age, tags, size: key.utf8.count, sent)
                found.note(key, age.fresh, age.computing, options)
            case .miss(let lease):
                voidOutdated(key, unlessUnder: lease, since: start, coherentSince)
            case .failed: found.unanswered.append(key)
            case .compute, .busy, .failedLately: break
            }
            if entry == nil { missing.append(key) }
            entries.append(entry)
        }
        let kept = entries
        level.withTable { table in
            for (index, key) in asked.enumerated() {
                table.endReading(key, marker: markers[index], found: kept[index])
            }
        }
        found.missing = missing
    }

    /// Lets nobody join a computation that began before a removal, whose message may have been missed.
    ///
    /// - Parameters:
    ///   - lease: The lease under which the key is computed, according to a server that was asked after `start`.
    ///   - coherentSince: The time since which changes are reported, which then decides about computations without a lease.
    private func voidOutdated(
        _ key: String,
        unlessUnder lease: String?,
        since start: AnyClock.Instant,
        _ coherentSince: AnyClock.Instant?
    ) {
        // A computation that asks for its own key has to find itself.
        guard !Self.computed.contains(key) else { return }
        flights.void(key, unlessUnder: lease, since: start, includesUnclaimed: coherentSince == nil)
        guard let coherentSince else { return }
        flights.void(key, unlessUnder: lease, since: min(start, coherentSince), includesUnclaimed: true)
    }

    /// Asks the server for each key. A missing key may be leased to this caller under `token`.
    ///
    /// - Parameter early: The minimum remaining freshness of an entry, for keys that are due for an early refresh.
    func look(
        for keys: [String],
        _ options: CacheOptions,
        accepting staleness: Duration,
        token: String,
        beyond early: [String: Duration] = [:],
        ignoring ignored: Set<String> = []
    ) async -> [CacheLookup] {
        let accepted: Int64 = max(.zero, staleness) == .zero ? 0 : staleness.wholeMilliseconds
        if reads.isOpen { return keys.map { _ in .failed } }
        let calls: [RedisConnection.Call] = keys.map { key in
            let grace = ignored.contains(key) ? -(1 << 52) : early[key].map { -$0.wholeMilliseconds } ?? accepted
            let names =
                token.isEmpty ? [self.keys.entry(key), self.keys.lease(key)] : scriptKeys(key, options)
            let arguments: [RedisArgument] = [
                .integer(grace), options.negativeTTL == nil ? "0" : "1", .text(token),
                .integer(self.options.lease.wholeMilliseconds), .integer(tagLife(options).wholeMilliseconds),
            ]
            return (names, arguments)
        }
        do {
            let replies = try await client.valueChannel.run(
                CacheScripts.look,
                each: calls,
                timeout: self.options.readTimeout,
                waitsForOthers: true
            )
            return replies.map { reply in
                let look = CacheLookup(reply)
                if case .failed = look { metrics.errors.increment() }
                return look
            }
        } catch {
            if !(error is CancellationError) { metrics.errors.increment() }
            // One silent node of a cluster must not keep readers away from the others. A connection on which a large value
            // moves is not silent.
            if !client.isCluster, let error = error as? EventBusError, !error.isOfBusyConnection,
                error.code == .indeterminate || (error.underlying as? EventBusError)?.code == .timedOut
            {
                openReads()
            }
            return keys.map { _ in .failed }
        }
    }

    private func entry(
        _ value: (any Sendable)?,
        _ age: EntryAge,
        _ tags: [String],
        size: Int,
        _ sent: FirstLevelTable.Instant
    ) -> FirstLevelTable.Entry {
        let freshUntil = sent.advanced(by: age.fresh)
        return FirstLevelTable.Entry(
            value: value,
            freshUntil: freshUntil,
            keepUntil: freshUntil.advanced(by: age.staleness),
            computing: age.computing,
            tags: tags,
            size: size
        )
    }
}

extension RedisCache.LookupResult {
    /// Records a value that is due for an early refresh in the background.
    mutating func note(_ key: String, _ fresh: Duration, _ computing: Duration, _ options: CacheOptions) {
        if fresh <= .zero {
            stale.append(key)
        } else if options.isDueEarly(left: fresh, computing: computing) {
            // A value that another process has computed since is fresh for longer. The margin covers the latency of the
            // reply.
            early[key] = fresh + .milliseconds(50)
        }
    }
}

extension RedisCache.CacheLookup {
    init(_ reply: RedisValue) {
        let parts = reply.array ?? []
        func number(_ index: Int) -> Int64? {
            guard parts.indices.contains(index) else { return nil }
            return parts[index].integer ?? parts[index].text.flatMap { Int64($0) }
        }
        func duration(_ index: Int) -> Duration? { number(index).map { .milliseconds($0) } }
        func age(from index: Int) -> RedisCache.EntryAge? {
            guard let fresh = duration(index), let staleness = duration(index + 1) else { return nil }
            // Entries that were set have no computation time.
            let computing = number(index + 2).map { Duration.microseconds(max(0, $0)) } ?? .zero
            return RedisCache.EntryAge(fresh: fresh, staleness: staleness, computing: computing)
        }
        /// Returns the keys of the tags, which are listed with their generations.
        func tags(_ index: Int) -> [String]? {
            guard parts.indices.contains(index), let list = parts[index].bytes else { return [] }
            guard let texts = try? JSONEventCodec().decode([String].self, from: list) else { return nil }
            return stride(from: 0, to: texts.count, by: 2).map { texts[$0] }
        }
        switch parts.first?.text {
        case "hit":
            if parts.count == 7, let bytes = parts[1].bytes, let age = age(from: 2), let tags = tags(6) {
                let stored = StoredValue(bytes: bytes, inflatedSize: number(5).map { Int(clamping: $0) })
                self = .hit(stored, age, tags: tags)
                return
            }
        case "none":
            if let age = age(from: 1), let tags = tags(4) {
                self = .none(age, tags: tags)
                return
            }
        case "compute":
            self = .compute
            return
        case "busy":
            if let left = duration(1) {
                self = .busy(max(.zero, left))
                return
            }
        case "failed":
            self = .failedLately
            return
        case "miss":
            self = .miss(lease: parts.count > 1 ? parts[1].text : nil)
            return
        default: break
        }
        self = .failed
    }
}
