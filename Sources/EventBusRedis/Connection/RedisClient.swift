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
/// carries the commands of all callers, a second one the values of caches and commands of 64 KiB and more, so that these
/// hold up nobody; locks and caches have one more each, for messages. All of them share one thread.
///
/// The client stays on a primary: a server that has become a replica is left, and the name of its host looked up again.
public final class RedisClient: Sendable {
    /// What the client was made with.
    public let configuration: RedisConfiguration
    let logger: Logger
    private let lookup: RedisConnection.AddressLookup
    let thread: ConnectionThread
    let connection: RedisConnection
    /// For values, of which a large one must not hold up the small commands of locks and inboxes.
    let values: RedisConnection
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
        self.values = RedisConnection(
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

    /// Whether the server is a primary that answers, as a component of a health report.
    ///
    /// A server that refuses a feature, such as subscriptions, does not keep the component from being ready; its
    /// ``/EventBus/ComponentHealth/reason`` says then what has to do without. Commands and messages that reach different
    /// servers do.
    public func health() async -> ComponentHealth {
        do {
            try await connection.requirePrimary()
            if let refusal = values.queue.refusal { throw refusal }
        } catch {
            return ComponentHealth(name: "redis", status: .notReady, reason: "\(error)")
        }
        var refusals: [String] = []
        for subscriber in subscribers.withLock({ $0.compactMap(\.connection) }) {
            switch subscriber.subscription.withLock({ $0 }) {
            case .pending, .inForce: break
            case .refused(let words): refusals += words.filter { !refusals.contains($0) }
            case .elsewhere(let problem): return ComponentHealth(name: "redis", status: .notReady, reason: problem)
            }
        }
        let reason = refusals.isEmpty ? nil : "without " + refusals.joined(separator: "; ")
        return ComponentHealth(name: "redis", status: .ready, reason: reason)
    }

    /// Ends the connections for good, those for messages included. What is under way fails, and so does every later
    /// call.
    public func close() async {
        await connection.close()
        await values.close()
        for subscriber in subscribers.withLock({ $0 }) { await subscriber.connection?.close() }
    }

    /// What the server of the commands calls its present run, if it is connected and says so.
    var serverRunID: String? { connection.presence.server?.runID }

    /// Sends a command.
    ///
    /// - Returns: the reply, which is not an error.
    /// - Throws: ``/EventBus/EventBusError`` for an error of the server's too, with a ``RedisServerError`` as `underlying`.
    func send(_ command: consuming RedisCommand) async throws -> RedisValue {
        let connection = command.wire.count < Self.largeCommand ? connection : values
        return try await connection.send(command).orThrow()
    }

    /// From how many bytes on a command goes over the connection for values.
    private static var largeCommand: Int { 64 << 10 }

    /// Sends commands in one go; a reply may be an error.
    func send(contentsOf commands: [RedisCommand], timeout: Duration? = nil) async throws -> [RedisValue] {
        try await connection.send(contentsOf: commands, timeout: timeout)
    }

    /// Runs a script over the connection for commands; see ``RedisConnection/run(_:keys:_:isIdempotent:isCancellable:isSentInFull:limit:)``.
    func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool,
        isCancellable: Bool = true,
        isSentInFull: Bool = false,
        limit: Duration? = nil
    ) async throws -> RedisValue {
        try await connection.run(
            script,
            keys: keys,
            arguments,
            isIdempotent: isIdempotent,
            isCancellable: isCancellable,
            isSentInFull: isSentInFull,
            limit: limit
        )
    }

    /// Sends a script without waiting for what becomes of it.
    func post(_ script: RedisScript, keys: [String], _ arguments: [RedisArgument]) {
        connection.post(script, keys: keys, arguments)
    }

    /// A connection for messages, on the thread of this client. It connects when it is opened, and its messages count
    /// while it is on the same server as `partner`, the connection for commands unless given.
    func subscriber(
        channels: [String],
        trackedPrefixes: [String] = [],
        partner: RedisConnection? = nil,
        onEvent: @escaping @Sendable (RedisConnection.SubscriptionEvent) -> Void
    ) -> RedisConnection {
        let subscriber = RedisConnection(
            configuration,
            role: .subscriber(channels: channels, trackedPrefixes: trackedPrefixes, onEvent: onEvent),
            thread: thread,
            logger: logger,
            partner: partner ?? connection,
            lookup: lookup
        )
        (partner ?? connection).presence.add(observer: subscriber)
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
