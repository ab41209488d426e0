import CoreMetrics
import EventBus

extension RedisCache {
    /// What was found, and what was not.
    struct Found<Value: Sendable> {
        var values: [String: Value] = [:]
        /// Which of `values` are past their freshness.
        var stale: [String] = []
        var missing: [String] = []
    }

    /// What the server said of one key.
    enum Look {
        case hit([UInt8], fresh: Duration, staleness: Duration)
        /// There is no value, which is remembered.
        case none(fresh: Duration, staleness: Duration)
        /// This process is to compute it.
        case compute
        /// Another computes it, and its lease ends after this time.
        case busy(Duration)
        case miss
        /// The server did not do it.
        case failed
    }

    func lookInMemory<Value: Sendable>(
        for keys: [String],
        as type: Value.Type,
        _ options: CacheOptions,
        accepting staleness: Duration,
        evenIfIncoherent: Bool = false
    ) -> Found<Value> {
        let now = FirstLevelTable.now
        let found = level.withTable { table in
            var found = Found<Value>()
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
                if now >= entry.freshUntil { found.stale.append(key) }
            }
            return found
        }
        if !found.values.isEmpty { metrics.firstLevelHits.increment(by: found.values.count) }
        return found
    }

    /// Asks the server for what is missing, and keeps in memory what it has. It never fails: what could not be asked for
    /// is missing.
    func lookOnServer<Value: Codable & Sendable>(
        _ found: inout Found<Value>,
        as type: Value.Type,
        _ options: CacheOptions,
        accepting staleness: Duration
    ) async {
        let asked = found.missing
        let markers = level.withTable { table in asked.map { table.beginReading($0) } }
        let sent = FirstLevelTable.now
        let looks = await look(for: asked, options, accepting: staleness, token: "")
        var missing: [String] = []
        var entries: [FirstLevelTable.Entry?] = []
        for (key, look) in zip(asked, looks) {
            var entry: FirstLevelTable.Entry?
            switch look {
            case .hit(let bytes, let fresh, let staleness):
                if let value = try? codec.decode(type, from: bytes) {
                    entry = self.entry(value, fresh, staleness, sent)
                    found.values[key] = value
                    if fresh <= .zero { found.stale.append(key) }
                    metrics.redisHits.increment()
                }
            case .none(let fresh, let staleness):
                entry = self.entry(nil, fresh, staleness, sent)
                if fresh <= .zero { found.stale.append(key) }
            case .compute, .busy, .miss, .failed: break
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

    /// Asks the server for each key, one that would compute it under its token.
    func look(
        for keys: [String],
        _ options: CacheOptions,
        accepting staleness: Duration,
        token: String,
        ignoring ignored: Set<String> = []
    ) async -> [Look] {
        let accepted = max(.zero, staleness) == .zero ? 0 : staleness.wholeMilliseconds
        let tags = options.tags.sorted().map { RedisArgument.text($0) }
        let calls = keys.map { key in
            (
                keys: [self.keys.entry(key), self.keys.lease(key)],
                arguments: [
                    .integer(ignored.contains(key) ? -(1 << 52) : accepted),
                    options.negativeTTL == nil ? "0" : "1",
                    .text(token),
                    .integer(self.options.lease.wholeMilliseconds),
                ] + tags
            )
        }
        do {
            let replies = try await client.run(CacheScripts.look, each: calls, timeout: self.options.readTimeout)
            return replies.map { reply in
                let look = Look(reply)
                if case .failed = look { metrics.errors.increment() }
                return look
            }
        } catch {
            if !(error is CancellationError) { metrics.errors.increment() }
            return keys.map { _ in .failed }
        }
    }

    private func entry(
        _ value: (any Sendable)?,
        _ fresh: Duration,
        _ staleness: Duration,
        _ sent: AnyClock.Instant
    ) -> FirstLevelTable.Entry {
        let freshUntil = sent.advanced(by: fresh)
        return FirstLevelTable.Entry(
            value: value,
            freshUntil: freshUntil,
            keepUntil: freshUntil.advanced(by: staleness)
        )
    }
}

extension RedisCache.Look {
    init(_ reply: RedisValue) {
        let parts = reply.array ?? []
        func duration(_ index: Int) -> Duration? {
            guard parts.indices.contains(index) else { return nil }
            return (parts[index].integer ?? parts[index].text.flatMap { Int64($0) }).map { .milliseconds($0) }
        }
        switch parts.first?.text {
        case "hit":
            if parts.count == 4, let bytes = parts[1].bytes, let fresh = duration(2), let staleness = duration(3) {
                self = .hit(bytes, fresh: fresh, staleness: staleness)
                return
            }
        case "none":
            if let fresh = duration(1), let staleness = duration(2) {
                self = .none(fresh: fresh, staleness: staleness)
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
        case "miss":
            self = .miss
            return
        default: break
        }
        self = .failed
    }
}
