import EventBus

extension RedisClient {
    /// Sends any command over the connection that everyone shares.
    ///
    /// ```swift
    /// let stock = try await redis.send("HINCRBY", "stock", "sku-42", -1).integer
    /// ```
    ///
    /// Arguments may hold any bytes. Calls of many tasks at once leave together, without waiting for each other's replies.
    ///
    /// - Parameters:
    ///   - name: the command.
    ///   - arguments: its arguments.
    /// - Returns: the reply, which is not an error.
    /// - Throws: ``/EventBus/EventBusError``: the code that fits an error of the server's, with a ``RedisServerError`` as
    ///   `underlying`; `.unavailable`, `.timedOut` or `.blocked` when the command was not sent; `.indeterminate` when it
    ///   was and no reply came; `.unsupported` for a command that would change the connection for the others, or hold
    ///   them up; `CancellationError`, within 40 ms, which does not take back a command that was sent.
    public func send(_ name: String, _ arguments: RedisArgument...) async throws -> RedisValue {
        guard Self.isShareable(name) else {
            throw EventBusError(
                .unsupported,
                "\(name.quotedForError) changes or holds up the connection, which is shared; use a client of its own"
            )
        }
        return try await send(RedisCommand(name, arguments))
    }

    private static func isShareable(_ name: String) -> Bool {
        // The names used most are shorter than all of these.
        name.utf8.count < 4 || !unshareable.contains(name.uppercased())
    }

    /// Commands that concern the connection as a whole, or wait on the server.
    private static let unshareable: Set<String> = [
        "AUTH", "SELECT", "HELLO", "RESET", "QUIT", "CLIENT", "MONITOR", "SYNC", "PSYNC", "REPLCONF",
        "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
        "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "ASKING", "READONLY", "READWRITE",
        "BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
        "XREAD", "XREADGROUP", "WAIT", "WAITAOF",
    ]
}
