import CoreMetrics
public import EventBus
import Logging
import Synchronization

/// A ``/EventBus/Cache`` on one Redis server, with a first level in the memory of each process.
///
/// **Coherence.** The server tells each process which entries change, over one connection for all of them. A value is
/// kept in memory only if nothing was heard of its key since it was asked for. While that connection is down nothing is
/// served from memory; one that is silently dead is noticed within two and a half heartbeats
/// (``RedisConfiguration/heartbeat``), and hides changes until then.
///
/// **Single flight across processes.** Who computes holds a lease on the key; the others wait for its word, and one of
/// them takes over when the lease ends.
///
/// **Redis down.** Values are computed, a bounded number at once, and not stored; if computing fails as well, what is in
/// memory is served within ``/EventBus/CacheOptions/staleOnError``. A server that says nothing holds up the readers of
/// one moment for ``RedisCacheOptions/readTimeout``; later ones compute at once until it answers again.
///
/// **Redis full.** Nothing is stored beyond the server's `maxmemory`: `set` throws, what was computed is served and not
/// stored, both are counted, and removing works.
///
/// Values are stored by the codec, under their key, large ones compressed, and kept decoded in memory; asking for a type
/// that the bytes cannot be decoded as computes again.
public final class RedisCache: Cache {
    let client: RedisClient
    let options: RedisCacheOptions
    let codec: any EventCodec
    let keys: CacheKeys
    let clock: AnyClock
    let flights: SingleFlight
    let level: FirstLevel
    let gate: ComputeGate
    let metrics: CacheMetrics
    /// What other processes know messages of this one by.
    let process: String
    /// Keeps a server that says nothing from holding up one reader after another.
    let reads = ReadBreaker()
    private let subscriber: RedisConnection
    private let isSubscribed = Atomic(false)

    /// A cache on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: the connection to the server.
    ///   - options: how it goes about its work.
    ///   - codec: how values are stored; JSON unless stated.
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
            // A backend that is down fails for every key; the counter has them all.
            guard isDue else { return }
            logger.info(
                "computing a cached value failed",
                metadata: ["cache.keys": "\(keys.prefix(3).joined(separator: ", "))", "error": "\(error)"]
            )
        }
        let level = FirstLevel(
            capacity: max(0, options.firstLevelCapacity),
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
        self.gate = ComputeGate(limit: max(1, options.computesWithoutRedis))
        self.metrics = metrics
        self.process = process
        self.subscriber = client.subscriber(
            channels: [keys.channel],
            trackedPrefixes: [keys.entryPrefix, keys.tagPrefix],
            partner: client.values
        ) { event in
            switch event {
            case .began: level.withTable { $0.becomeCoherent() }
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

    /// The values for `keys`, from the cache or computed by one call for all that are missing.
    public func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try CacheKeySpelling.checkDistinct(keys)
        listen()
        func plan(_ keys: [String], beyond early: [String: Duration] = [:]) -> SingleFlight.Plan {
            SingleFlight.Plan(
                keys: keys,
                type: ObjectIdentifier(type),
                tags: options.tags,
                timeout: options.computeTimeout,
                failureTTL: options.failureTTL,
                fill: { _, keys in try await self.fill(keys, as: type, options, beyond: early, compute: compute) }
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

    /// The value for `key`, if it is of the given type, fresh and in the memory of this process.
    public func valueAtHand(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)? {
        let now = FirstLevelTable.now
        guard let value = level.withTable({ $0.freshValue(for: key, as: type, options, now: now) }) else { return nil }
        metrics.firstLevelHits.increment()
        return value
    }

    /// Stores a value, and voids computations for its key that began before.
    public func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {
        listen()
        let stored = try encoded(value, for: key)
        flights.void([key])
        let life = life(of: options.ttl, options)
        do {
            _ = try await client.values.run(
                CacheScripts.store,
                keys: scriptKeys(key, options),
                storeArguments(token: "", life, stored, computing: nil, key, options),
                isIdempotent: true,
                isCancellable: false
            )
        } catch {
            metrics.errors.increment()
            // Of a server without memory for the new value the old one is not served either.
            if (error as? EventBusError)?.isOutOfMemory == true { try? await remove([key]) }
            throw error
        }
        level.invalidate([key])
    }

    /// Removes entries, and voids computations for their keys that began before.
    public func remove(_ keys: [String]) async throws {
        flights.void(keys)
        defer { level.invalidate(keys) }
        let replies = try await client.values.run(
            CacheScripts.remove,
            each: keys.map { key in
                ([self.keys.entry(key), self.keys.lease(key)], [.text(self.keys.channel), voiding(key)])
            }
        )
        for reply in replies { _ = try reply.orThrow() }
    }

    /// Removes every entry that was stored with `tag`, and voids computations with this tag that began before.
    ///
    /// It takes the server the same short time however many entries there are: they are not served from then on, and
    /// leave its memory when somebody computes their keys, or at the end of their own time.
    public func removeAll(tag: String) async throws {
        flights.void(tag: tag)
        let name = keys.tag(tag)
        defer { level.invalidate(tag: name) }
        _ = try await client.values.run(
            CacheScripts.removeTag,
            keys: [name],
            [.text(keys.channel), .text("\(process) void-tag \(tag)")],
            isIdempotent: true,
            isCancellable: false
        )
    }

    /// Begins to listen for changes, once.
    private func listen() {
        if isSubscribed.load(ordering: .relaxed) { return }
        if !isSubscribed.exchange(true, ordering: .relaxed) { subscriber.open() }
    }
}

/// What one process tells the others.
struct CacheMessage {
    enum News: Equatable {
        /// A computation for a key has ended without a value.
        case ended(key: String)
        /// Computations for a key that began before are void.
        case void(key: String)
        /// Computations with a tag that began before are void.
        case voidTag(String)
    }

    let process: String
    let news: News

    init?(_ payload: RedisValue) {
        guard let parts = payload.text?.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false),
            parts.count == 3
        else { return nil }
        process = String(parts[0])
        let name = String(parts[2])
        switch parts[1] {
        case "void": news = .void(key: name)
        case "void-tag": news = .voidTag(name)
        default: news = .ended(key: name)
        }
    }
}
