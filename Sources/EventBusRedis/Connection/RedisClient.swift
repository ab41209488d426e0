import ConnectionThread
public import EventBus
public import Logging

/// A connection to one Redis server that a process shares: locks, caches and inboxes are made from it.
///
/// ```swift
/// let redis = try RedisClient(RedisConfiguration(uri: "redis://127.0.0.1:6379"), logger: logger)
/// let lock = RedisLock(redis)
/// ```
///
/// It connects when first used, and again by itself whenever the connection was lost. While the server cannot be
/// reached, calls fail at once with `.unavailable`, and one connection attempt after another is the probe. One socket
/// carries the commands of all callers; locks and caches have one more each, for messages. All of them share one thread.
public final class RedisClient: Sendable {
    /// What the client was made with.
    public let configuration: RedisConfiguration
    let logger: Logger
    private let lookup: RedisConnection.AddressLookup
    private let thread: ConnectionThread
    private let connection: RedisConnection
    private let subscribers = Locked<[WeakConnection]>([])

    /// A client that has not connected yet.
    ///
    /// - Throws: ``/EventBus/EventBusError``: `.invalidConfiguration`, which names the value; `.unavailable` when the
    ///   process has no thread or descriptor left.
    public convenience init(_ configuration: RedisConfiguration = RedisConfiguration(), logger: Logger) throws {
        try self.init(configuration, logger: logger, lookup: SocketAddress.resolve)
    }

    /// A client that finds the addresses of its host by `lookup`.
    init(
        _ configuration: RedisConfiguration,
        logger: Logger,
        lookup: @escaping RedisConnection.AddressLookup
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.logger = logger
        self.lookup = lookup
        self.thread = try ConnectionThread(name: "redis")
        self.connection = RedisConnection(
            configuration,
            role: .commands,
            thread: thread,
            logger: logger,
            lookup: lookup
        )
    }

    /// Asks the server whether it is there.
    ///
    /// - Throws: ``/EventBus/EventBusError`` if it does not answer, or not as it should.
    public func ping() async throws {
        let reply = try await send(RedisCommand("PING"))
        guard Handshake.isPong(reply) else {
            throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
        }
    }

    /// Whether the server answers, as a component of a health report.
    public func health() async -> ComponentHealth {
        do {
            try await ping()
            return ComponentHealth(name: "redis", status: .ready)
        } catch {
            return ComponentHealth(name: "redis", status: .notReady, reason: "\(error)")
        }
    }

    /// Ends the connections for good, those for messages included. What is under way fails, and so does every later
    /// call.
    public func close() async {
        await connection.close()
        for subscriber in subscribers.withLock({ $0 }) { await subscriber.connection?.close() }
    }

    /// Sends a command.
    ///
    /// - Returns: the reply, which is not an error.
    /// - Throws: ``/EventBus/EventBusError`` for an error of the server's too, with a ``RedisServerError`` as `underlying`.
    func send(_ command: consuming RedisCommand) async throws -> RedisValue {
        try await connection.send(command).orThrow()
    }

    /// Sends commands in one go; a reply may be an error.
    func send(contentsOf commands: [RedisCommand], timeout: Duration? = nil) async throws -> [RedisValue] {
        try await connection.send(contentsOf: commands, timeout: timeout)
    }

    /// Runs a script by its name, or by its text where the server has forgotten it: a restart, a failover and
    /// `SCRIPT FLUSH` all make it forget.
    ///
    /// - Parameters:
    ///   - isIdempotent: whether running it twice is as good as once: then it is sent again if its outcome was unknown.
    ///   - isSentInFull: whether it goes by its text at once: for a caller that may not wait for the answer that its name
    ///     is not known.
    ///   - limit: how long all of that may take together; unless stated, each of the two may take the time of one
    ///     command.
    func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool,
        isCancellable: Bool = true,
        isSentInFull: Bool = false,
        limit: Duration? = nil
    ) async throws -> RedisValue {
        let deadline = limit.map { ContinuousClock.now.advanced(by: $0) }
        do {
            return try await runOnce(script, keys, arguments, isCancellable, isSentInFull, deadline)
        } catch let error as EventBusError where error.code == .indeterminate && isIdempotent {
            if let deadline, deadline <= .now { throw error }
            do {
                return try await runOnce(script, keys, arguments, isCancellable, isSentInFull, deadline)
            } catch let again as EventBusError where again.code != .indeterminate && again.isTransient {
                // What happened to the first is still not known.
                throw error
            }
        }
    }

    private func runOnce(
        _ script: RedisScript,
        _ keys: [String],
        _ arguments: [RedisArgument],
        _ isCancellable: Bool,
        _ isSentInFull: Bool,
        _ deadline: ContinuousClock.Instant?
    ) async throws -> RedisValue {
        func send(_ command: RedisCommand) async throws -> RedisValue {
            let timeout = deadline.map { min(ContinuousClock.now.duration(to: $0), configuration.commandTimeout) }
            return try await connection.send(
                command,
                timeout: timeout,
                cancellation: isCancellable ? .atOnce : .never
            )
        }
        guard !isSentInFull else { return try await send(script.load(keys, arguments)).orThrow() }
        let reply = try await send(script.call(keys, arguments))
        guard case .error(let message) = reply, RedisServerError(message).kind == "NOSCRIPT" else {
            return try reply.orThrow()
        }
        return try await send(script.load(keys, arguments)).orThrow()
    }

    /// What a script is called with.
    typealias Call = (keys: [String], arguments: [RedisArgument])

    /// Runs a script for each list of keys, all of them sent in one go; a reply may be an error.
    func run(_ script: RedisScript, each calls: [Call], timeout: Duration? = nil) async throws -> [RedisValue] {
        var replies = try await send(
            contentsOf: calls.map { script.call($0.keys, $0.arguments) },
            timeout: timeout
        )
        let forgotten = replies.indices.filter { index in
            guard case .error(let message) = replies[index] else { return false }
            return RedisServerError(message).kind == "NOSCRIPT"
        }
        guard !forgotten.isEmpty else { return replies }
        let again = try await send(
            contentsOf: forgotten.map { script.load(calls[$0].keys, calls[$0].arguments) },
            timeout: timeout
        )
        for (index, reply) in zip(forgotten, again) { replies[index] = reply }
        return replies
    }

    /// Sends a script without waiting for what becomes of it.
    func post(_ script: RedisScript, keys: [String], _ arguments: [RedisArgument]) {
        // By its text, since nobody would notice that its name is not known.
        connection.post(script.load(keys, arguments))
    }

    /// A connection for messages, on the thread of this client. It connects when it is opened.
    func subscriber(
        channels: [String],
        trackedPrefixes: [String] = [],
        onEvent: @escaping @Sendable (RedisConnection.SubscriptionEvent) -> Void
    ) -> RedisConnection {
        let subscriber = RedisConnection(
            configuration,
            role: .subscriber(channels: channels, trackedPrefixes: trackedPrefixes, onEvent: onEvent),
            thread: thread,
            logger: logger,
            lookup: lookup
        )
        subscribers.withLock { subscribers in
            subscribers.removeAll { $0.connection == nil }
            subscribers.append(WeakConnection(connection: subscriber))
        }
        return subscriber
    }

    private struct WeakConnection: Sendable {
        weak let connection: RedisConnection?
    }
}

extension EventBusError {
    /// Whether the server may answer if it is asked again. A command that Redis rejects is rejected again.
    var isTransient: Bool { code.isRetriable && code != .rejected }
}
