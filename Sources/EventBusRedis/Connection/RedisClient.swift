import ConnectionThread
public import EventBus
public import Logging
import Metrics

/// A shared connection to one Redis server or one Redis Cluster, from which locks, caches and inboxes are created.
///
/// ```swift
/// let redis = try RedisClient(RedisConfiguration(uri: "redis://127.0.0.1:6379"), logger: logger)
/// let lock = RedisLock(redis)
/// ```
///
/// The client connects when it is first used, and reconnects whenever the connection is lost. While the server cannot
/// be reached, calls fail immediately with `.unavailable`, and the repeated connection attempts serve as probes. One
/// socket carries the commands of all locks, inboxes and rate limiters. A second one carries the values of caches and the
/// commands of ``send(_:_:)`` and `Lease.evaluate`, so that large ones, or large replies, delay no lock. Locks and caches
/// each have one more for messages. All sockets share one thread.
///
/// The client uses primaries only: if a server has become a replica, the client disconnects and resolves the host name
/// again. Of a cluster it connects to each primary when that is first needed, and sends each command to the one that
/// serves its key.
///
/// In a `ServiceGroup`, the client is a service that closes its connections at the end. Elsewhere, call ``close()`` when
/// it is no longer needed.
public final class RedisClient: Sendable {
    /// The configuration that the client was created with.
    public let configuration: RedisConfiguration
    let logger: Logger
    /// The logger of the connections, whose thread must not wait for a log handler.
    private let connectionLogger: BackgroundLogger
    private let lookup: RedisConnection.AddressLookup
    private let metrics: ClientMetrics?
    let thread: ConnectionThread
    /// The connection for the library's own small commands. To a cluster, it only carries the questions about its slots.
    let connection: RedisConnection
    /// The connection for values and for the commands of users. It is separate because neither a large value nor a large
    /// reply must delay the small commands of locks and inboxes. It is not used with a cluster.
    let values: RedisConnection
    /// The way of the library's own small commands to the server, or to the nodes of the cluster.
    let commandChannel: any CommandChannel
    /// The way of values and of the commands of users.
    let valueChannel: any CommandChannel
    private let cluster: RedisCluster?
    private let change: PrimaryChange
    private let hosts: ClusterHosts?
    /// The connection that reports another primary, if the configuration names Sentinels.
    private let sentinel: RedisConnection?
    private let query: SentinelQuery?
    private let subscribers = Locked<[WeakConnection]>([])
    private let cleanups = Locked<[WeakCleanup]>([])

    /// Creates a client. It does not connect until it is first used.
    ///
    /// - Parameters:
    ///   - configuration: The address of the server and the settings of the connections. Defaults to a server on this
    ///     host.
    ///   - logger: The logger for lost and established connections. Defaults to swift-log's logger with the label
    ///     `eventbus.redis`.
    /// - Throws: ``/EventBus/EventBusError``: `.invalidConfiguration`, which names the value, or `.unavailable` if the
    ///   process has no thread or descriptor left.
    public convenience init(
        _ configuration: RedisConfiguration = RedisConfiguration(),
        logger: Logger = Logger(label: "eventbus.redis")
    ) throws(EventBusError) {
        try self.init(configuration, logger: logger, metrics: MetricsSystem.factory)
        LinkedLibraries.log(to: logger)
    }

    /// Creates a client that resolves the addresses of its host with `lookup`.
    init(
        _ configuration: RedisConfiguration,
        logger: Logger,
        metrics factory: any MetricsFactory = MetricsSystem.factory,
        lookup: @escaping RedisConnection.AddressLookup = SocketAddress.resolve
    ) throws(EventBusError) {
        try configuration.validate()
        self.configuration = configuration
        self.logger = logger
        let connectionLogger = BackgroundLogger(logger)
        self.connectionLogger = connectionLogger
        self.lookup = lookup
        let metrics = ClientMetrics(factory, logger: connectionLogger)
        self.metrics = metrics
        self.thread = try ConnectionThread(name: "redis")
        let change = PrimaryChange()
        var sentinel: RedisConnection?
        var query: SentinelQuery?
        if case .sentinel(let hosts, let service) = configuration.endpoint {
            let question = SentinelQuery(configuration, hosts: hosts, service: service, lookup: lookup)
            query = question
            sentinel = RedisConnection(
                configuration,
                role: .sentinel { [change] event in change.note(event, question) },
                thread: thread,
                logger: connectionLogger,
                lookup: lookup
            )
        }
        self.sentinel = sentinel
        self.query = query
        self.change = change
        var hosts: ClusterHosts?
        if case .cluster(let configured) = configuration.endpoint { hosts = ClusterHosts(configured) }
        self.hosts = hosts
        let connect = {
            @Sendable [thread, hosts, sentinel, query]
            (
                configuration: RedisConfiguration,
                kind: ConnectionMetrics.Kind,
                partner: RedisConnection?
            ) in
            RedisConnection(
                configuration,
                role: .commands,
                thread: thread,
                logger: connectionLogger,
                partner: partner,
                sentinel: sentinel,
                query: query,
                hosts: hosts,
                metrics: metrics,
                kind: kind,
                lookup: lookup
            )
        }
        connection = connect(configuration, .commands, nil)
        values = connect(configuration, .values, hosts == nil ? connection : nil)
        if let hosts {
            let cluster = RedisCluster(control: connection, hosts: hosts, subscribers: change) { address in
                let configuration = configuration.forNode(address)
                return RedisCluster.Node(
                    address,
                    commands: connect(configuration, .commands, nil),
                    values: connect(configuration, .values, nil)
                )
            }
            self.cluster = cluster
            commandChannel = ClusterChannel(cluster, configuration) { $0.commands }
            valueChannel = ClusterChannel(cluster, configuration) { $0.values }
        } else {
            cluster = nil
            commandChannel = connection
            valueChannel = values
            connection.presence.add(observer: values)
            change.add(connection)
            change.add(values)
        }
    }

    /// Checks that the server answers, to locks as well as to values and the commands of ``send(_:_:)``.
    ///
    /// - Throws: ``/EventBus/EventBusError`` if the server does not answer, or answers with an error.
    public func ping() async throws {
        async let other = isCluster ? nil : connection.send(RedisCommand("PING"))
        let replies = [try await send(RedisCommand("PING")), try await other?.orThrow()]
        guard replies.allSatisfy({ $0.map(Handshake.isPong) ?? true }) else {
            throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
        }
    }

    /// Returns the health of the server as a component of a health report. It is ready if a primary answers. A cluster is
    /// ready if its primaries answer and serve all slots. A server that cannot save its data, and therefore refuses all
    /// writes, is not ready.
    ///
    /// A server that refuses a feature, such as subscriptions, does not make the component unready. Its
    /// ``/EventBus/ComponentHealth/reason`` then names what has to work without the feature, also if nobody can tell whether
    /// the server is a replica. It also names the
    /// reason for which there is no connection for messages, and for a minute the one for which the server refused a
    /// write: it was out of memory, or had too few replicas. The component is not ready if its connections reach different
    /// servers.
    public func health() async -> ComponentHealth {
        do {
            if let cluster {
                try await cluster.requireNodes()
            } else {
                try await connection.requirePrimary()
                if let refusal = values.queue.refusal { throw refusal }
                if case .elsewhere(let problem) = values.subscription.withLock({ $0 }) {
                    throw EventBusError(.unavailable, problem)
                }
            }
        } catch {
            return ComponentHealth(name: "redis", status: .notReady, reason: "\(error)")
        }
        var refusals: [String] = []
        for connection in cluster?.connections ?? [connection, values] {
            if let refusal = connection.roleRefusal.withLock({ $0 }), !refusals.contains(refusal) {
                refusals.append(refusal)
            }
            guard let refusal = connection.refusedWrites.recent else { continue }
            let words = "writes, which were refused within the last minute: \(refusal)"
            if !refusals.contains(words) { refusals.append(words) }
        }
        for subscriber in subscribers.withLock({ $0.compactMap(\.connection) }) {
            switch subscriber.subscription.withLock({ $0 }) {
            case .inForce: break
            case .pending:
                guard let refusal = subscriber.queue.refusal else { break }
                let words = "messages: \(refusal.message)"
                if !refusals.contains(words) { refusals.append(words) }
            case .refused(let words): refusals += words.filter { !refusals.contains($0) }
            case .elsewhere(let problem): return ComponentHealth(name: "redis", status: .notReady, reason: problem)
            }
        }
        let reason = refusals.isEmpty ? nil : "without " + refusals.joined(separator: "; ")
        return ComponentHealth(name: "redis", status: .ready, reason: reason)
    }

    /// Closes all connections permanently, including those for messages. Calls in progress fail, as does every later
    /// call.
    ///
    /// Background work that was begun before, such as the release of a dropped lease, is completed first. That
    /// takes at most 500 ms, and is omitted if the server is known to be unreachable.
    public func close() async {
        await settleCleanups()
        await cluster?.close()
        await connection.close()
        await values.close()
        await sentinel?.close()
        for subscriber in subscribers.withLock({ $0 }) { await subscriber.connection?.close() }
    }

    /// Registers a runner of cleanup steps, which ``close()`` waits for. It is not retained.
    func add(_ cleanup: RedisCleanup) {
        cleanups.withLock { cleanups in
            cleanups.removeAll { $0.cleanup == nil }
            cleanups.append(WeakCleanup(cleanup: cleanup))
        }
    }

    private func settleCleanups() async {
        if !isCluster, connection.queue.refusal != nil { return }
        let cleanups = cleanups.withLock { $0.compactMap(\.cleanup) }.filter { $0.count > 0 }
        guard !cleanups.isEmpty else { return }
        let clock = AnyClock.continuous
        let deadline = clock.now.advanced(by: .milliseconds(500))
        // Also if the calling task is cancelled, because that is how services end.
        _ = try? await withoutCancellation {
            try await withDeadline(deadline, clock: clock) { for cleanup in cleanups { try await cleanup.settle() } }
        }
    }

    /// A Boolean value indicating whether keys are distributed over the nodes of a cluster.
    var isCluster: Bool { cluster != nil }

    /// The identity of the current run of the commands' server, if it is connected and tells its identity.
    var serverRunID: String? { connection.presence.server?.runID }

    /// Sends a command of a user, of which nobody knows how large its reply will be.
    ///
    /// - Returns: The reply, which is never an error.
    /// - Throws: ``/EventBus/EventBusError``. For an error of the server, `underlying` is a ``RedisServerError``.
    func send(_ command: consuming RedisCommand) async throws -> RedisValue {
        guard isCluster else {
            // Called directly, because a call through the protocol would cost a measurable part of the whole.
            return try await values.send(command).orThrow()
        }
        return try await valueChannel.send(command, timeout: nil, cancellation: .whenLate).orThrow()
    }

    /// Sends commands together. Each reply may be an error.
    func send(contentsOf commands: [RedisCommand], timeout: Duration? = nil) async throws -> [RedisValue] {
        try await valueChannel.send(contentsOf: commands, timeout: timeout)
    }

    /// Runs a script over the channel for commands. See
    /// ``CommandChannel/run(_:keys:_:isIdempotent:isCancellable:isSentInFull:limit:onReply:)``.
    func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool,
        isCancellable: Bool = true,
        isSentInFull: Bool = false,
        limit: Duration? = nil,
        onReply: (@Sendable (RedisValue) -> Void)? = nil
    ) async throws -> RedisValue {
        try await commandChannel.run(
            script,
            keys: keys,
            arguments,
            isIdempotent: isIdempotent,
            isCancellable: isCancellable,
            isSentInFull: isSentInFull,
            limit: limit,
            onReply: onReply
        )
    }

    /// Sends a script without waiting for its result.
    func post(_ script: RedisScript, keys: [String], _ arguments: [RedisArgument]) {
        commandChannel.post(script, keys: keys, arguments)
    }

    /// Creates a connection for messages on the thread of this client. It connects when it is opened. Its messages
    /// count while it is connected to the same server as `partner`, which defaults to the connection for commands. In a
    /// cluster, messages that are published at any node reach all of them.
    func subscriber(
        channels: [String],
        trackedPrefixes: [String] = [],
        partner: RedisConnection? = nil,
        onEvent: @escaping @Sendable (RedisConnection.SubscriptionEvent) -> Void
    ) -> RedisConnection {
        let partner = isCluster ? nil : partner ?? connection
        let subscriber = RedisConnection(
            configuration,
            role: .subscriber(channels: channels, trackedPrefixes: trackedPrefixes, onEvent: onEvent),
            thread: thread,
            logger: connectionLogger,
            partner: partner,
            query: query,
            hosts: hosts,
            metrics: metrics,
            kind: .messages,
            lookup: lookup
        )
        partner?.presence.add(observer: subscriber)
        change.add(subscriber)
        subscribers.withLock { subscribers in
            subscribers.removeAll { $0.connection == nil }
            subscribers.append(WeakConnection(connection: subscriber))
        }
        return subscriber
    }

    private struct WeakConnection: Sendable {
        weak let connection: RedisConnection?
    }

    private struct WeakCleanup: Sendable {
        weak let cleanup: RedisCleanup?
    }
}

extension EventBusError {
    /// A Boolean value indicating whether the server may answer a repeated command. A command that Redis rejects is
    /// rejected again.
    var isTransient: Bool { code.isRetriable && code != .rejected }
}
