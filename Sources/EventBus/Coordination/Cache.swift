/// A cache of values that cost something to compute.
///
/// ```swift
/// let price = try await cache.value(for: "price:42", as: Price.self, options: .init(ttl: .seconds(30))) {
///     try await catalog.price(of: "42")
/// }
/// ```
///
/// What every implementation promises; `CacheConformance` in `EventBusTesting` checks it:
///
/// - **Single flight.** Callers who ask for a key while it is being computed wait for that one computation. It does not
///   belong to any of them: one who is cancelled leaves, and the computation is cancelled when all have left.
/// - **Never worse than no cache.** When the store cannot be reached, reading computes. It throws what `compute` throws,
///   `CancellationError`, `.timedOut` after ``CacheOptions/computeTimeout``, `.reentrant`, and nothing else.
/// - **No standstill.** A computation that asks for its own key, directly or through other keys, gets `.reentrant` at once,
///   with the chain of keys. It is recognized in the computation's task and in all that inherit its task-local values.
/// - **A failure is shared.** An error reaches all who wait, and for ``CacheOptions/failureTTL`` those who ask after them;
///   it is the computation's own. Then somebody computes again.
/// - **No resurrection.** A removal, whether by key or by tag, and a ``set(_:for:options:)`` also void the computations
///   that began before: those who wait for one still get its value, but it is not stored, and who asks afterwards does
///   not wait for it. Without this, a value read before a change would be stored after it.
/// - **Bounded.** An entry is gone at the latest when the time given by its options is over. It may go sooner.
///
/// A value is stored under its key whatever its type; asking for one of a different type computes again.
public protocol Cache: Sendable {
    /// The values for `keys`, from the cache or computed by one call for all that are missing.
    ///
    /// - Parameters:
    ///   - keys: what to look for; one that occurs twice is looked for once.
    ///   - type: the values' type.
    ///   - options: how long and how strictly to keep what is computed.
    ///   - compute: the values for the given keys, which are some of `keys`, each once. A key it leaves out has no value.
    /// - Returns: a value for each key that has one.
    /// - Throws: what `compute` throws; ``EventBusError`` with code `.timedOut`, with `.reentrant` when it is asked by a
    ///   computation that it would wait for, or with `.invalidName` for two keys that a dictionary cannot tell apart
    ///   because they differ in Unicode normalization only; `CancellationError`.
    func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value]

    /// The value for `key`, if it is of the given type, fresh, and can be had without waiting; `nil` if it has to be asked
    /// for.
    ///
    /// `value(for:as:options:compute:)` begins with it, so that a hit in memory costs little more than finding it. A
    /// cache without memory of its own need not have it.
    func valueAtHand(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)?

    /// Stores a value, and voids computations for its key that began before.
    ///
    /// - Throws: ``EventBusError``: `.encodingFailed`, `.tooLarge`, `.unavailable` or `.indeterminate`.
    func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws

    /// Removes entries, and voids computations for their keys that began before.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer; the entries may
    ///   then be served until they are stale.
    func remove(_ keys: [String]) async throws

    /// Removes every entry that was stored with `tag`, and voids computations with this tag that began before.
    ///
    /// - Throws: As ``remove(_:)``.
    func removeAll(tag: String) async throws
}

extension Cache {
    /// Has nothing at hand.
    public func valueAtHand(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)? { nil }

    /// The value for `key`, from the cache or computed; `nil` if `compute` says that there is none.
    ///
    /// That there is none is remembered as well, if ``CacheOptions/negativeTTL`` is given.
    ///
    /// - Parameters:
    ///   - key: what to look for.
    ///   - type: the value's type.
    ///   - options: how long and how strictly to keep what is computed.
    ///   - compute: the value. It runs in a task of its own, with the task-local values of the first to ask.
    /// - Throws: what `compute` throws; ``EventBusError`` with code `.timedOut`; `CancellationError`.
    @_disfavoredOverload  // A closure that only throws fits both; it is to mean the other one.
    @inlinable
    public func value<Value: Codable & Sendable>(
        for key: String,
        as type: Value.Type = Value.self,
        options: CacheOptions = CacheOptions(),
        compute: @Sendable @escaping () async throws -> Value?
    ) async throws -> Value? {
        if let atHand = valueAtHand(for: key, as: type, options: options), let value = atHand as? Value { return value }
        return try await findOptional(key, type, options, compute)
    }

    /// The value for `key`, from the cache or computed.
    ///
    /// - Parameters:
    ///   - key: what to look for.
    ///   - type: the value's type.
    ///   - options: how long and how strictly to keep what is computed.
    ///   - compute: the value. It runs in a task of its own, with the task-local values of the first to ask.
    /// - Throws: what `compute` throws; ``EventBusError`` with code `.timedOut`; `CancellationError`.
    @inlinable
    public func value<Value: Codable & Sendable>(
        for key: String,
        as type: Value.Type = Value.self,
        options: CacheOptions = CacheOptions(),
        compute: @Sendable @escaping () async throws -> Value
    ) async throws -> Value {
        if let atHand = valueAtHand(for: key, as: type, options: options), let value = atHand as? Value { return value }
        return try await find(key, type, options, compute)
    }

    /// The values for `keys`, with the usual options.
    public func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type = Value.self,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try await values(for: keys, as: type, options: CacheOptions(), compute: compute)
    }

    /// Stores a value with the usual options, and voids computations for its key that began before.
    public func set<Value: Codable & Sendable>(_ value: Value, for key: String) async throws {
        try await set(value, for: key, options: CacheOptions())
    }

    /// Removes an entry, and voids computations for its key that began before.
    public func remove(_ key: String) async throws {
        try await remove([key])
    }

    // Apart from `value`, so that nothing of this is done for a hit in memory.
    @usableFromInline
    func findOptional<Value: Codable & Sendable>(
        _ key: String,
        _ type: Value.Type,
        _ options: CacheOptions,
        _ compute: @Sendable @escaping () async throws -> Value?
    ) async throws -> Value? {
        let found = try await values(for: [key], as: type, options: options) { _ in
            try await compute().map { [key: $0] } ?? [:]
        }
        return found[key]
    }

    @usableFromInline
    func find<Value: Codable & Sendable>(
        _ key: String,
        _ type: Value.Type,
        _ options: CacheOptions,
        _ compute: @Sendable @escaping () async throws -> Value
    ) async throws -> Value {
        var options = options
        options.negativeTTL = nil
        let found = try await values(for: [key], as: type, options: options) { _ in [key: try await compute()] }
        if let value = found[key] { return value }
        // It joined the computation of someone for whom there may be none.
        let value = try await compute()
        // What cannot be stored is still a value.
        try? await set(value, for: key, options: options)
        return value
    }
}
