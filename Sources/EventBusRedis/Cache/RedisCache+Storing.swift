import CoreMetrics
import EventBus

extension RedisCache {
    /// The time that an entry is kept, and the part of it that follows its freshness.
    struct EntryLifetime {
        let keep: Duration
        let staleness: Duration
    }

    func life(of ttl: Duration, _ options: CacheOptions) -> EntryLifetime {
        let staleness = options.staleness
        return EntryLifetime(keep: options.freshness(of: ttl) + staleness, staleness: staleness)
    }

    /// Stores values that were computed under leases. If a value cannot be stored, its lease is given up.
    func store<Value: Codable & Sendable>(
        _ values: [String: Value],
        for keys: [String],
        _ token: String,
        _ options: CacheOptions,
        computing: Duration
    ) async {
        var calls: [RedisConnection.Call] = []
        for key in keys {
            // The tags are those recorded in the lease.
            let names = [self.keys.entry(key), self.keys.lease(key), self.keys.guardKey(key)]
            var stored: StoredValue?
            if let value = values[key] {
                stored = try? encoded(value, for: key, options)
                guard stored != nil else {
                    // A failure to store must not fail the lookup.
                    metrics.errors.increment()
                    giveUp([key], token)
                    continue
                }
            }
            let ttl = stored == nil ? options.negativeTTL ?? options.ttl : options.ttl
            let life = life(of: ttl, options)
            calls.append((names, storeArguments(token: token, life, stored, computing: computing, key, options)))
        }
        let replies = try? await client.valueChannel.run(CacheScripts.store, each: calls)
        let failures = replies?.count { if case .error = $0 { true } else { false } } ?? keys.count
        if failures > 0 {
            metrics.errors.increment(by: failures)
            giveUp(keys, token)
        }
    }

    /// Returns the arguments of ``CacheScripts/store``. Without a value they record its absence, or remove the entry if
    /// the absence is not to be cached.
    func storeArguments(
        token: String,
        _ life: EntryLifetime,
        _ stored: StoredValue?,
        computing: Duration?,
        _ key: String,
        _ options: CacheOptions
    ) -> [RedisArgument] {
        let staleness = life.staleness > .zero ? life.staleness.wholeMilliseconds : 0
        let field: RedisArgument = stored != nil ? "v" : options.negativeTTL != nil ? "n" : "-"
        let microseconds = computing.map { RedisArgument.integer(max(1, Int64(min($0 / .microseconds(1), 1e15)))) }
        return [
            .text(token), .integer(life.keep.wholeMilliseconds), .integer(staleness), field,
            .bytes(stored?.bytes ?? [1]), .text(keys.channel),
            token.isEmpty ? voiding(key) : .text("\(process) end \(key)"),
            microseconds ?? "", stored?.inflatedSize.map { .integer(Int64($0)) } ?? "",
            .text(token.isEmpty ? process + .randomHexadecimal(words: 1) : ""),
        ]
    }

    /// Returns the keys of a script: entry, lease, guard, and tags.
    func scriptKeys(_ key: String, _ options: CacheOptions) -> [String] {
        [keys.entry(key), keys.lease(key), keys.guardKey(key)] + options.tags.sorted().map { keys.tag($0) }
    }

    /// Returns how long the tags of a value that is about to be computed have to be known. This is the longest time for
    /// which the entry can exist from now on. The jitter may subtract nothing, and the value is stored while its lease
    /// exists, which is renewed until the computation is given up.
    func tagLife(_ options: CacheOptions) -> Duration {
        max(options.ttl, options.negativeTTL ?? .zero) + options.staleness + options.computeTimeout + self.options.lease
    }

    func voiding(_ key: String) -> RedisArgument { .text("\(process) void \(key)") }

    // MARK: Encoding values

    func encoded<Value: Codable & Sendable>(
        _ value: Value,
        for key: String,
        _ options: CacheOptions
    ) throws(EventBusError) -> StoredValue {
        let bytes: [UInt8]
        do {
            bytes = try codec.encode(value)
        } catch {
            throw EventBusError(
                .encodingFailed,
                "the value for \(key.quotedForError) could not be encoded",
                underlying: error
            )
        }
        let tagBytes = options.tags.reduce(0) { $0 + CacheKeys.listedSize(ofTag: keys.tag($1)) }
        guard bytes.count + tagBytes <= largestValue else {
            let tags = tagBytes == 0 ? "" : " and its tags \(tagBytes)"
            throw EventBusError(
                .tooLarge,
                "the value for \(key.quotedForError) has \(bytes.count) bytes\(tags), which nobody could read again; "
                    + "raise maximumReplySize"
            )
        }
        return StoredValue(encoded: bytes, compressingFrom: self.options.compressionThreshold)
    }

    /// Decodes a value, and returns it with its encoded size.
    func decoded<Value: Codable & Sendable>(_ type: Value.Type, from stored: StoredValue) -> (value: Value, size: Int)?
    {
        guard let bytes = stored.encoded(limit: largestValue), let value = try? codec.decode(type, from: bytes) else {
            return nil
        }
        return (value, bytes.count)
    }

    /// The size of the largest value that is stored, including its list of tags. A reply with a larger one would end the
    /// connection of every reader, and a reply contains little more than these.
    private var largestValue: Int { max(0, client.configuration.maximumReplySize - 1024) }
}
