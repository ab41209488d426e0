/// A cache of values that are expensive to compute.
///
/// ```swift
/// let price = try await cache.value(for: "price:42", as: Price.self, options: .init(ttl: .seconds(30))) {
///     try await catalog.price(of: "42")
/// }
/// ```
///
/// Every implementation guarantees the following. `CacheConformance` in `EventBusTesting` checks it:
///
/// - **Single flight.** Callers that ask for a key while it is being computed wait for that computation. It does not
///   belong to any of them: a cancelled caller leaves, and the computation is cancelled when all callers have left.
/// - **Never worse than no cache.** If the store cannot be reached, a read computes the value. It throws only the
///   errors of `compute`, `CancellationError`, `.timedOut` after ``CacheOptions/computeTimeout``, and `.reentrant`.
/// - **No deadlock.** A computation that asks for its own key, directly or through other keys, gets `.reentrant`
///   immediately, with the chain of keys. It is recognized in the computation's task and in all tasks that inherit its
///   task-local values.
/// - **Shared failures.** An error of a computation reaches all waiting callers, and for ``CacheOptions/failureTTL``
///   the callers that ask afterwards. It is the computation's original error. Then the value is computed again.
/// - **No resurrection.** A removal, whether by key or by tag, and a ``set(_:for:options:)`` also invalidate the
///   computations that began before. Callers that wait for such a computation still get its value, but it is not
///   stored, and later callers do not wait for it. Otherwise a value that was read before a change would be stored
///   after it.
/// - **Bounded.** An entry is removed at the latest when the time in its options is over. It may be removed earlier.
///
/// A value is stored under its key whatever its type. If a value of another type is requested, it is computed again.
public protocol Cache: Sendable {
    /// Returns the values for `keys`, from the cache or computed by one call of `compute` for all missing keys.
    ///
    /// - Parameters:
    ///   - keys: The keys. A duplicate is looked up once.
    ///   - type: The type of the values.
    ///   - options: The options for reading and storing the values.
    ///   - compute: A closure that returns the values for the given keys, a subset of `keys` without duplicates. A key
    ///     that it leaves out has no value.
    /// - Returns: A value for each key that has one.
    /// - Throws: Errors of `compute`; ``EventBusError`` with code `.timedOut`, `.reentrant` if the caller is a
    ///   computation that this call would wait for, or `.invalidName` for two keys that a dictionary cannot distinguish
    ///   because they differ only in Unicode normalization; `CancellationError`.
    func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value]

    /// Returns the value for `key` if it has the given type, is fresh, and is available without waiting. Otherwise
    /// returns `nil`.
    ///
    /// `value(for:as:options:compute:)` calls it first, so that a hit in memory costs little more than the lookup. A
    /// cache that keeps no values in memory need not implement it.
    func cachedValue(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)?

    /// Stores a value, and invalidates computations for its key that began before.
    ///
    /// - Throws: ``EventBusError``: `.encodingFailed`, `.tooLarge`, `.unavailable` or `.indeterminate`.
    func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws

    /// Removes entries, and invalidates computations for their keys that began before. The call completes even if the
    /// calling task is cancelled, because what the entries were made from has changed already.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer. The entries may
    ///   then be served until they expire.
    func remove(_ keys: [String]) async throws

    /// Removes every entry that was stored with `tag`, and invalidates computations with this tag that began before. The
    /// call completes even if the calling task is cancelled.
    ///
    /// - Throws: The errors of ``remove(_:)``.
    func removeAll(tag: String) async throws
}

extension Cache {
    /// Returns `nil`, because no value is available without waiting.
    public func cachedValue(
        for key: String,
        as type: any (Codable & Sendable).Type,
        options: CacheOptions
    ) -> (any Sendable)? { nil }

    /// Returns the value for `key`, from the cache or computed, or `nil` if `compute` returns `nil`.
    ///
    /// The absence of a value is cached as well if ``CacheOptions/negativeTTL`` is set.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - type: The type of the value.
    ///   - options: The options for reading and storing the value.
    ///   - compute: A closure that computes the value. It runs in a separate task, with the task-local values of the
    ///     first caller.
    /// - Throws: Errors of `compute`; ``EventBusError`` with code `.timedOut` or `.reentrant`; `CancellationError`.
    @_disfavoredOverload  // A closure that only throws matches both overloads, and must select the other one.
    @inlinable
    public func value<Value: Codable & Sendable>(
        for key: String,
        as type: Value.Type = Value.self,
        options: CacheOptions = CacheOptions(),
        compute: @Sendable @escaping () async throws -> Value?
    ) async throws -> Value? {
        if let atHand = cachedValue(for: key, as: type, options: options), let value = atHand as? Value { return value }
        return try await findOptional(key, type, options, compute)
    }

    /// Returns the value for `key`, from the cache or computed.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - type: The type of the value.
    ///   - options: The options for reading and storing the value.
    ///   - compute: A closure that computes the value. It runs in a separate task, with the task-local values of the
    ///     first caller.
    /// - Throws: Errors of `compute`; ``EventBusError`` with code `.timedOut` or `.reentrant`; `CancellationError`.
    @inlinable
    public func value<Value: Codable & Sendable>(
        for key: String,
        as type: Value.Type = Value.self,
        options: CacheOptions = CacheOptions(),
        compute: @Sendable @escaping () async throws -> Value
    ) async throws -> Value {
        if let atHand = cachedValue(for: key, as: type, options: options), let value = atHand as? Value { return value }
        return try await find(key, type, options, compute)
    }

    /// Returns the values for `keys`, with the default options.
    public func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type = Value.self,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try await values(for: keys, as: type, options: CacheOptions(), compute: compute)
    }

    /// Stores a value with the default options, and invalidates computations for its key that began before.
    public func set<Value: Codable & Sendable>(_ value: Value, for key: String) async throws {
        try await set(value, for: key, options: CacheOptions())
    }

    /// Removes an entry, and invalidates computations for its key that began before.
    public func remove(_ key: String) async throws {
        try await remove([key])
    }

    // Separate from `value`, so that none of this is done for a hit in memory.
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
        // The call joined the computation of a caller for whom the value may be absent.
        let value = try await compute()
        // A failure to store must not fail the lookup.
        try? await set(value, for: key, options: options)
        return value
    }
}
