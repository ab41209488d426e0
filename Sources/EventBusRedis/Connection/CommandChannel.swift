import EventBus

/// A way to send commands: one connection, or the connections to the nodes of a cluster.
protocol CommandChannel: AnyObject, Sendable {
    var configuration: RedisConfiguration { get }

    /// Sends a command and waits for its reply, which may be an error from the server. See
    /// ``RedisConnection/send(_:timeout:cancellation:)``.
    func send(
        _ command: consuming RedisCommand,
        timeout: Duration?,
        cancellation: RedisConnection.Cancellation
    ) async throws -> RedisValue

    /// Sends commands together. The replies have the same order, and each may be an error.
    func send(contentsOf commands: [RedisCommand], timeout: Duration?) async throws -> [RedisValue]

    /// Sends a command without a waiting task. `onReply` is called once with the result, on any thread.
    func send(
        _ command: RedisCommand,
        timeout: Duration,
        onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    )

    /// Sends a command without waiting for its reply.
    func post(_ command: RedisCommand)

    /// Returns the servers that store the keys.
    func servers() async throws -> [RedisConnection]
}

extension RedisConnection: CommandChannel {
    nonisolated func servers() -> [RedisConnection] { [self] }
}
