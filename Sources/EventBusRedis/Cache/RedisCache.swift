import CoreMetrics
public import EventBus
import Logging
import Synchronization

/// A ``/EventBus/Cache`` on one Redis server, with a first level in the memory of each process.
///
/// ```swift
/// let cache = RedisCache(redis)
/// let price = try await cache.value(for: "price:42", options: CacheOptions(ttl: .seconds(60))) {
///     try await loadPrice(42)
/// }
/// ```
///
/// **Coherence.** The server tells each process which entries change, over one connection for all of them. A value is
/// kept in memory only if its key has not been invalidated since it was requested. While that connection is down,
/// nothing is served from memory. A connection that is dead without notice is detected within two and a half heartbeats
/// (``RedisConfiguration/heartbeat``), and misses changes until then.
///
/// **Single flight across processes.** The process that computes a value holds a lease on its key. The others wait for
/// its message, and one of them takes over when the lease ends.
///
/// **Redis Cluster.** There is no first level, and tags are refused. See <doc:ConnectingToRedis#Redis-Cluster>.
///
/// **Redis unreachable.** Values are computed, with a limit on concurrent computations, and not stored. If computing
/// fails as well, values in memory are served within ``/EventBus/CacheOptions/staleOnError``. A server that does not
/// answer delays the current readers by ``RedisCacheOptions/readTimeout``. Later readers compute immediately until it
/// answers again.
///
/// **Redis out of memory.** Nothing is stored beyond the server's `maxmemory`. `set` throws, and computed values are
/// returned without being stored. Both are counted. Removing entries works.
///
/// The codec encodes values for storage, and large values are compressed. In memory they are kept decoded. If the
/// stored bytes cannot be decoded as the requested type, the value is computed again.
public final class RedisCache: Cache {
    let client: RedisClient
    let options: RedisCacheOptions
    let codec: any EventCodec
    let keys: CacheKeys
    let clock: AnyClock
    let flights: SingleFlight
    let level: FirstLevel
    let gate: ConcurrencyLimiter
    let leases: CacheLeases
    let metrics: CacheMetrics
    /// The identity of this process in messages.
    let process: String
    /// A breaker that keeps an unresponsive server from delaying one reader after another.
    let reads = ReadBreaker()
    /// The connection that reports changes.
    let subscriber: RedisConnection
    private let isSubscribed = Atomic(false)
    /// The keys that the current task computes, for this cache or another one.
    @TaskLocal static var computed: Set<String> = []

    /// Creates a cache on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: The connection to the server.
    ///   - options: The options of the cache. Each has a default.
    ///   - codec: The codec for stored values. Defaults to JSON.
    public convenience init(
        _ client: RedisClient,
        options: RedisCacheOptions = RedisCacheOptions(),
        codec: any EventCodec = JSONEventCodec()
    ) {
        self.init(client, options: options, codec: codec, metrics: MetricsSystem.factory)
    }

    init(
        _ client: RedisClient,
        options: RedisCacheOptions,
        codec: any EventCodec = JSONEventCodec(),
        metrics factory: any MetricsFactory
    ) {
        let prefix = options.prefix
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        var options = options
        options.lease = max(.milliseconds(11), options.lease)
        let clock = AnyClock.continuous
        let keys = CacheKeys(prefix: prefix)
        let metrics = CacheMetrics(prefix: prefix, factory: factory)
        let logger = client.logger
        let nextLine = Locked(clock.now)
        let flights = SingleFlight(clock: clock) { keys, error in
            metrics.failures.increment()
            let now = clock.now
            let isDue = nextLine.withLock { next in
                defer { if next <= now { next = now.advanced(by: .seconds(1)) } }
                return next <= now
            }
            // If the backend is down, every key fails. The counter counts all of these failures.
            guard isDue else { return }
            logger.info(
                "computing a cached value failed",
                metadata: [
                    "cache.keys": "\(String(loggable: keys.prefix(3).joined(separator: ", ")))",
                    "error": "\(String(loggable: error))",
                ]
            )
        }
        let level = FirstLevel(
            // The nodes of a cluster tell of changes to their own keys only, so nothing would be coherent.
            capacity: client.isCluster ? 0 : max(0, options.firstLevelCapacity),
            byteCapacity: max(0, options.firstLevelBytes)
        )
        let process = String.randomHexadecimal(words: 1)
        self.client = client
        self.options = options
        self.codec = codec
        self.keys = keys
        self.clock = clock
        self.flights = flights
        self.level = level
        self.gate = ConcurrencyLimiter(limit: max(1, options.maximumConcurrentFallbacks))
        self.leases = CacheLeases(client, keys: keys, lease: options.lease, clock: clock)
        self.metrics = metrics
        self.process = process
        self.subscriber = client.subscriber(
            channels: [keys.channel],
            trackedPrefixes: client.isCluster ? [] : [keys.entryPrefix, keys.tagPrefix],
            partner: client.values
        ) { event in
            switch event {
            case .began: level.becomeCoherent(at: clock.now)
            case .ended: level.withTable { $0.becomeIncoherent() }
            case .message(Handshake.invalidationChannel, let payload):
                guard let names = payload.array else {
                    // The whole database was flushed.
                    return level.withTable { $0.invalidateAll() }
                }
                for name in names.lazy.compactMap(\.text) {
                    if let key = keys.key(ofEntry: name) {
                        level.invalidate([key])
                    } else {
                        level.invalidate(tag: name)
                    }
                }
            case .message(_, let payload):
                guard let message = CacheMessage(payload), message.process != process else { return }
                switch message.news {
                case .ended(let key): level.invalidate([key])
                case .void(let key):
                    flights.void([key])
                    level.invalidate([key])
                case .voidTag(let tag): flights.void(tag: tag)
                }
            }
        }
    }

    /// Returns the values for `keys`, from the cache or computed by one call of `compute` for all missing keys.
    public func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try CacheKeySpelling.checkDistinct(keys)
        try requireTags(options.tags)
        listen()
        func plan(_ keys: [String], beyond early: [String: Duration] = [:]) -> SingleFlight.Plan {
            SingleFlight.Plan(
                keys: keys,
                type: ObjectIdentifier(type),
                tags: options.tags,
                timeout: options.computeTimeout,
                failureTTL: options.failureTTL,
                fill: { flight, keys in
                    try await Self.$computed.withValue(Self.computed.union(keys)) {
                        try await self.fill(keys, of: flight, as: type, options, beyond: early, compute: compute)
                    }
                }
            )
        }
        var found = lookInMemory(for: keys, as: type, options, accepting: options.staleWhileRevalidate)
        if !found.missing.isEmpty {
            await lookOnServer(&found, as: type, options, accepting: options.staleWhileRevalidate)
        }
        if !found.stale.isEmpty {
            metrics.stale.increment(by: found.stale.count)
            flights.refresh(plan(found.stale))
        }
        if !found.early.isEmpty { flights.refresh(plan(Array(found.early.keys), beyond: found.early)) }
        guard !found.missing.isEmpty else { return found.values }

        metrics.misses.increment(by: found.missing.count)
        let outcome = try await flights.outcome(of: plan(found.missing))
        for (key, value) in outcome.values { found.values[key] = value as? Value }
        if !outcome.failures.isEmpty {
            try await fallBack(on: outcome.failures, &found, as: type, options)
        }
        return found.values
    }

    /// Returns the value for `key` if it has the given type, is fresh, and is in the memory of this process.
    public func cachedValue(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)? {
        let now = FirstLevelTable.now
        guard let value = level.withTable({ $0.freshValue(for: key, as: type, options, now: now) }) else { return nil }
        metrics.firstLevelHits.increment()
        return value
    }

    /// Stores a value, and invalidates computations for its key that began before.
    public func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {
        try requireTags(options.tags)
        listen()
        let stored = try encoded(value, for: key, options)
        flights.void([key])
        let life = life(of: options.ttl, options)
        do {
            _ = try await client.valueChannel.run(
                CacheScripts.store,
                keys: scriptKeys(key, options),
                storeArguments(token: "", life, stored, computing: nil, key, options),
                isIdempotent: true,
                isCancellable: false
            )
        } catch {
            metrics.errors.increment()
            // If the server has no memory for the new value, the old value must not be served either.
            if (error as? EventBusError)?.isOutOfMemory == true { try? await remove([key]) }
            throw error
        }
        level.invalidate([key])
    }

    /// Removes entries, and invalidates computations for their keys that began before. The call completes even if the
    /// calling task is cancelled, because what the entries were made from has changed already.
    public func remove(_ keys: [String]) async throws {
        flights.void(keys)
        defer { level.invalidate(keys) }
        let calls: [RedisConnection.Call] = keys.map { key in
            ([self.keys.entry(key), self.keys.lease(key)], [.text(self.keys.channel), voiding(key)])
        }
        let replies = try await withoutCancellation { [channel = client.valueChannel] in
            try await channel.run(CacheScripts.remove, each: calls, isIdempotent: true)
        }
        for reply in replies { _ = try reply.orThrow() }
    }

    /// Removes every entry that was stored with `tag`, and invalidates computations with this tag that began before. The
    /// call completes even if the calling task is cancelled.
    ///
    /// The call takes the same short time on the server for any number of entries. They are not served from then on.
    /// The server frees their memory when their keys are computed again, or when they expire.
    public func removeAll(tag: String) async throws {
        try requireTags([tag])
        flights.void(tag: tag)
        let name = keys.tag(tag)
        defer { level.invalidate(tag: name) }
        _ = try await client.valueChannel.run(
            CacheScripts.removeTag,
            keys: [name],
            [.text(keys.channel), .text("\(process) void-tag \(tag)")],
            isIdempotent: true,
            isCancellable: false
        )
    }

    /// Throws if tags cannot be used, because they and the entries are in different slots of a cluster.
    private func requireTags(_ tags: Set<String>) throws(EventBusError) {
        guard client.isCluster, let tag = tags.first else { return }
        throw EventBusError(
            .unsupported,
            "the tag \(tag.quotedForError) cannot be used on a Redis cluster, whose slots it would connect; "
                + "remove entries by their keys, or give the cache a server of its own"
        )
    }

    /// Starts to listen for changes, unless that has happened already.
    private func listen() {
        if isSubscribed.load(ordering: .relaxed) { return }
        if !isSubscribed.exchange(true, ordering: .relaxed) { subscriber.open() }
    }
}
