public import EventBus

extension Lease {
    /// Runs a Lua script on the server of the lock, if this lease still holds there.
    ///
    /// Ownership is proved and the effect made in one step, so nothing can come between: for effects that live in the
    /// same Redis this closes the gap that otherwise takes a fencing token.
    ///
    /// - Parameters:
    ///   - script: the script; `KEYS` and `ARGV` are `keys` and `arguments`.
    ///   - keys: the keys it touches. On Redis Cluster they have to lie in the slot of the lock's own keys.
    ///   - arguments: the arguments.
    /// - Returns: what the script returns.
    /// - Throws: ``/EventBus/EventBusError``: `.leaseExpired` or `.lockNotOwned` when the lease has ended, and nothing was done;
    ///   `.unsupported` when the lock is not a ``RedisLock``; `.indeterminate` when no reply came.
    public func evaluate(
        _ script: String,
        keys: [String] = [],
        _ arguments: [RedisArgument] = []
    ) async throws -> RedisValue {
        guard let lock = holding.lock as? RedisLock else {
            throw EventBusError(.unsupported, "evaluate needs a lease of a RedisLock, since the script runs on Redis")
        }
        return try await lock.evaluate(script, keys: keys, arguments, holding.grant)
    }
}
