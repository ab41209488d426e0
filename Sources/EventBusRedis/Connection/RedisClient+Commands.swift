import EventBus

extension RedisClient {
    /// Sends any command over the connection that all callers share with the caches.
    ///
    /// ```swift
    /// let stock = try await redis.send("HINCRBY", "stock", "sku-42", -1).integer
    /// ```
    ///
    /// On a cluster the first argument, or the first key of a script, decides which node gets the command, and a node that
    /// does not serve the command's keys names the one that does. A command without a key reaches one of the nodes.
    ///
    /// Arguments may contain any bytes. Concurrent calls are sent together, without waiting for each other's replies.
    ///
    /// - Parameters:
    ///   - name: The name of the command.
    ///   - arguments: The arguments of the command.
    /// - Returns: The reply, which is never an error.
    /// - Throws: ``/EventBus/EventBusError``: the code that matches an error of the server, with a ``RedisServerError``
    ///   as `underlying`; `.unavailable`, `.timedOut` or `.blocked` if the command was not sent; `.indeterminate` if it
    ///   was sent and no reply arrived; `.unsupported` for a command that would change the shared connection or block
    ///   it. `CancellationError` within 40 ms of a cancellation, which does not take back a command that was sent.
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
        // The most common names are shorter than all of these.
        name.utf8.count < 4 || !unshareable.contains(name.uppercased())
    }

    /// The commands that affect the whole connection, or that wait on the server.
    private static let unshareable: Set<String> = [
        "AUTH", "SELECT", "HELLO", "RESET", "QUIT", "CLIENT", "MONITOR", "SYNC", "PSYNC", "REPLCONF",
        "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE",
        "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "ASKING", "READONLY", "READWRITE",
        "BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
        "XREAD", "XREADGROUP", "WAIT", "WAITAOF",
    ]
}
