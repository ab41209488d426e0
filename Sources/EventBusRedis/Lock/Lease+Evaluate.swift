public import EventBus

extension Lease {
    /// Runs a Lua script on the server of the lock if this lease is still valid there.
    ///
    /// The server checks ownership and runs the script in one step, so nothing can happen in between. For effects in
    /// the same Redis, this closes the gap that otherwise requires a fencing token.
    ///
    /// ```swift
    /// try await lock.withLock("account:42") { lease in
    ///     try await lease.evaluate("redis.call('SET', KEYS[1], ARGV[1])", keys: ["balance:42"], arguments: ["100"])
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - script: The script. `KEYS` and `ARGV` are `keys` and `arguments`.
    ///   - keys: The keys that it accesses. On Redis Cluster they have to be in the slot of the lock's own keys.
    ///   - arguments: The arguments.
    /// - Returns: The result of the script.
    /// - Throws: ``/EventBus/EventBusError``: `.leaseExpired` or `.lockNotOwned` if the lease has ended and the script
    ///   did not run; `.unsupported` if the lock is not a ``RedisLock``; `.indeterminate` if no reply arrived.
    public func evaluate(
        _ script: String,
        keys: [String] = [],
        arguments: [RedisArgument] = []
    ) async throws -> RedisValue {
        guard let lock = holding.lock as? RedisLock else {
            throw EventBusError(.unsupported, "evaluate needs a lease of a RedisLock, since the script runs on Redis")
        }
        return try await lock.evaluate(script, keys: keys, arguments, holding.grant)
    }
}
