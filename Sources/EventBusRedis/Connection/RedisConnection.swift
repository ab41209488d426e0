import ConnectionThread
import DequeModule
import EventBus

/// A lasting connection to one Redis server. It connects when it is first used, and reconnects whenever it was lost.
///
/// The commands of all callers share one socket. Commands that are submitted within one turn of the thread are written
/// by one `send`, and an idle connection writes immediately. Replies are matched to commands by their order alone,
/// which nothing may disturb: a command that timed out or was cancelled keeps its place.
actor RedisConnection {
    /// The purpose of a connection.
    enum Role: Sendable {
        case commands
        /// Receives messages, and the names of changed keys with one of the prefixes. `onEvent` is called on the
        /// connection's thread. It must be brief and must not call into user code.
        case subscriber(channels: [String], trackedPrefixes: [String], onEvent: @Sendable (SubscriptionEvent) -> Void)
        /// Is connected to a Sentinel, and receives its messages about services. `onEvent` is called like that of a
        /// subscriber.
        case sentinel(onEvent: @Sendable (SentinelEvent) -> Void)
    }

    /// An event of the connection to a Sentinel.
    enum SentinelEvent: Sendable {
        /// Messages arrive. Earlier ones may have been missed.
        case began
        /// The Sentinel has answered a heartbeat.
        case heartbeat
        case message(String)
    }

    /// An event that is delivered to a subscriber.
    enum SubscriptionEvent: Sendable {
        /// All subscriptions are active.
        case began
        /// Subscriptions are inactive, or have just ended. Messages may have been missed from this moment on.
        case ended
        case message(channel: String, payload: RedisValue)
    }

    enum Phase {
        case idle
        case connecting
        /// TLS is being negotiated.
        case securing
        case greeting
        case ready
        case pausing
        case closed
    }

    nonisolated let configuration: RedisConfiguration
    /// The default timeout of a command, in nanoseconds.
    private nonisolated let commandTimeout: UInt64
    nonisolated let queue: CommandQueue
    nonisolated let thread: ConnectionThread
    let role: Role
    let logger: BackgroundLogger
    /// The server that this connection has reached, for comparison by other connections.
    nonisolated let presence = ServerPresence()
    /// The connection whose server this one has to reach, too.
    let partner: RedisConnection?
    /// The connection that reports another primary, and the question for it, if the configuration names Sentinels.
    private let sentinel: RedisConnection?
    let query: SentinelQuery?
    /// The addresses of the cluster, if the configuration names one.
    let hosts: ClusterHosts?
    nonisolated let refusedWrites = RefusedWrites()
    /// The words with which the server refused to tell its role, or `nil` if it tells it.
    nonisolated let roleRefusal = Locked<String?>(nil)
    nonisolated let subscription = Locked(SubscriptionStatus.pending)

    var phase = Phase.idle
    /// The number of the current socket. Callbacks that belong to an earlier socket are ignored.
    var generation: UInt64 = 0
    var socket: RedisSocket?
    /// The TLS session over the socket, if the configuration asks for TLS.
    var tls: TLSStream?
    var watch: ConnectionThread.WatchID?
    var reader: ReplyReader?
    var handshake: Handshake
    /// The login of the current attempt to connect.
    var credentials: RedisConfiguration.Credentials?
    /// The task that obtains the login.
    var credentialsTask: Task<Void, Never>?
    var backoff: Backoff
    private nonisolated let metrics: ClientMetrics?
    var connectionMetrics: ConnectionMetrics?
    var addresses = AddressRotation()
    /// The server of this connection, once it has answered the greeting.
    var server: ServerIdentity?
    /// A Boolean value indicating whether a server has answered a greeting.
    var hasServed = false
    /// The number of consecutive times that this connection and its partner reached different servers.
    var mismatches = 0
    /// The refused features that have been logged. Each is logged once.
    var reportedRefusals: Set<String> = []
    let lookup: AddressLookup
    var connectDeadline = MonotonicTime.now
    var readySince = MonotonicTime.now
    var lastReceived = MonotonicTime.now
    /// The position up to which the peer had received all output when this was last checked.
    var lastDelivered: UInt64 = 0
    var isAskingRole = false

    var traffic = CommandPipeline()
    /// The commands that were submitted last. It is empty between turns.
    private var submitted = Deque<PendingCommand>()
    private var isFlushScheduled = false
    var nextSweep: MonotonicTime?
    var isPatienceCheckScheduled = false

    /// A function that resolves the addresses of a host. It may block for any length of time unless `numericOnly` is
    /// set.
    typealias AddressLookup =
        @Sendable (_ host: String, _ port: Int, _ numericOnly: Bool) throws(EventBusError) -> [SocketAddress]

    init(
        _ configuration: RedisConfiguration,
        role: Role,
        thread: ConnectionThread,
        logger: BackgroundLogger,
        partner: RedisConnection? = nil,
        sentinel: RedisConnection? = nil,
        query: SentinelQuery? = nil,
        hosts: ClusterHosts? = nil,
        metrics: ClientMetrics? = nil,
        kind: ConnectionMetrics.Kind = .commands,
        lookup: @escaping AddressLookup = SocketAddress.resolve
    ) {
        self.configuration = configuration
        self.partner = partner
        self.sentinel = sentinel
        self.query = query
        self.hosts = hosts
        self.metrics = metrics
        self.connectionMetrics = metrics?.connection(kind)
        self.commandTimeout = MonotonicTime.nanoseconds(configuration.commandTimeout)
        self.lookup = lookup
        self.queue = CommandQueue(
            capacity: configuration.maximumQueued,
            byteCapacity: configuration.maximumQueuedBytes
        )
        self.thread = thread
        self.role = role
        self.logger = logger
        self.credentials = configuration.credentials
        self.handshake = Handshake(configuration, configuration.credentials, role: role)
        self.backoff = Backoff(
            initial: configuration.reconnect.initial,
            maximum: configuration.reconnect.maximum
        )
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    isolated deinit {
        credentialsTask?.cancel()
        connectionMetrics?.note(isConnected: false)
        connectionMetrics?.note(isRefusing: false)
        dropSocket(reset: !traffic.inFlight.isEmpty)
        let reason = EventBusError.closed
        queue.take(into: &submitted)
        for flight in traffic.inFlight {
            if case .caller(let command) = flight.owner { command.fail(reason) }
        }
        for command in traffic.waiting { command.fail(reason) }
        for command in submitted { command.fail(reason) }
    }

    // MARK: Calls from any thread

    /// Sends a command and waits for its reply, which may be an error from the server.
    ///
    /// - Parameters:
    ///   - timeout: The maximum duration. Defaults to the configured timeout.
    ///   - cancellation: The response to a cancellation of the calling task, which never takes back a command that was
    ///     sent.
    /// - Throws: ``/EventBus/EventBusError``: `.unavailable`, `.timedOut` or `.blocked` if the command was not sent,
    ///   and `.indeterminate` if it was sent and no reply arrived. `CancellationError` if the task was cancelled.
    nonisolated func send(
        _ command: consuming RedisCommand,
        timeout: Duration? = nil,
        cancellation: Cancellation = .whenLate
    ) async throws -> RedisValue {
        if cancellation != .never, Task.isCancelled { throw CancellationError() }
        let pending = pending(command, timeout: nanoseconds(timeout))
        // Unchecked, because the command itself ensures that it ends once, and the check would cost as much as that.
        switch cancellation {
        case .never:
            return try await withUnsafeThrowingContinuation { continuation in
                pending.waiter = .patient(continuation)
                submit(pending)
            }
        case .whenLate:
            let reply = try await withUnsafeThrowingContinuation { continuation in
                pending.waiter = .beginner(continuation)
                submit(pending)
            }
            if let reply { return reply }
        case .atOnce:
            pending.waiter = .away
            submit(pending)
        }
        return try await register {
            pending.waiter.register($0)
        } onCancel: {
            pending.cancel()
        }
    }

    /// The time within which a cancelled task stops waiting for a reply.
    enum Cancellation {
        /// The task does not respond to cancellation.
        case never
        /// Within twice ``patience``. It costs nothing if the reply arrives earlier.
        case whenLate
        case atOnce
    }

    /// Sends commands in order, without waiting for replies between them. The replies have the same order.
    nonisolated func send(
        contentsOf commands: [RedisCommand],
        timeout: Duration? = nil
    ) async throws -> [RedisValue] {
        try Task.checkCancellation()
        guard !commands.isEmpty else { return [] }
        let batch = CommandBatch(commands, timeout: nanoseconds(timeout))
        if let metrics { for command in batch.commands { command.measure(with: metrics) } }
        let replies = try await withUnsafeThrowingContinuation { continuation in
            batch.waiter = .beginner(continuation)
            switch queue.add(contentsOf: batch.commands) {
            case .queued: break
            case .first: scheduleDrain()
            case .refused(let error): for command in batch.commands { command.fail(error) }
            }
        }
        if let replies { return replies }
        return try await register {
            batch.waiter.register($0)
        } onCancel: {
            batch.cancel()
        }
    }

    /// Sends a command without waiting for its reply.
    nonisolated func post(_ command: RedisCommand) {
        submit(pending(command, timeout: commandTimeout))
    }

    /// Sends a command without a waiting task.
    ///
    /// - Parameter onReply: A closure that is called once with the result, on the connection's thread, or on the
    ///   current thread if the command is refused.
    nonisolated func send(
        _ command: RedisCommand,
        timeout: Duration,
        onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    ) {
        let pending = pending(command, timeout: nanoseconds(timeout))
        pending.waiter = .observer(onReply)
        submit(pending)
    }

    /// Connects without waiting for a command.
    nonisolated func open() {
        scheduleDrain()
    }

    private nonisolated func scheduleDrain() {
        thread.execute { self.assumeIsolated { $0.drain() } }
    }

    /// Closes the connection permanently. Commands that are in flight or waiting fail.
    func close() {
        guard phase != .closed else { return }
        let reason = EventBusError.closed
        setRefusal(reason)
        credentialsTask?.cancel()
        endSocket(reason)
        phase = .closed
        connectionMetrics?.note(isRefusing: false)
        failWaiting(reason)
    }

    /// Installs a cancellation handler, and continues to wait with it.
    private nonisolated func register<Value: Sendable>(
        _ body: @escaping @Sendable (UnsafeContinuation<Value, any Error>) -> Void,
        onCancel: @escaping @Sendable () -> Void
    ) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in thread.execute { body(continuation) } }
        } onCancel: {
            thread.execute(onCancel)
        }
    }

    private nonisolated func pending(_ command: consuming RedisCommand, timeout: UInt64) -> PendingCommand {
        let pending = PendingCommand(command, timeout: timeout)
        if let metrics { pending.measure(with: metrics) }
        return pending
    }

    private nonisolated func submit(_ command: PendingCommand) {
        switch queue.add(command) {
        case .queued: break
        case .first: scheduleDrain()
        case .refused(let error): command.fail(error)
        }
    }

    private nonisolated func nanoseconds(_ timeout: Duration?) -> UInt64 {
        timeout.map(MonotonicTime.nanoseconds) ?? commandTimeout
    }

    // MARK: Sending

    /// Takes the commands that callers have submitted.
    private func drain() {
        let now = MonotonicTime.now
        let shortest = queue.take(into: &submitted)
        if !submitted.isEmpty {
            scheduleSweep(at: now.advanced(byNanoseconds: shortest))
            schedulePatienceCheck(at: now)
            traffic.admit(&submitted)
        }
        guard phase != .ready else { return pump() }
        traffic.begin(at: now)
        switch phase {
        case .idle:
            sentinel?.open()
            connect()
        case .connecting, .securing, .greeting, .ready: break
        case .pausing, .closed:
            if let refusal = queue.refusal { failWaiting(refusal) }
        }
    }

    /// Sends waiting commands until the limits on commands in flight are reached.
    func pump() {
        guard phase == .ready, !traffic.waiting.isEmpty else { return }
        let (count, bytes) = traffic.sendWaiting(
            maximumInFlight: configuration.maximumInFlight,
            maximumInFlightBytes: configuration.maximumInFlightBytes,
            at: .now
        )
        queue.noteLeft(count, bytes: bytes)
        scheduleFlush()
    }

    /// Opens the breaker with the error that callers get, or closes it.
    func setRefusal(_ refusal: EventBusError?) {
        queue.setRefusal(refusal)
        connectionMetrics?.note(isRefusing: refusal != nil)
    }

    /// Fails the commands that have not been sent.
    func failWaiting(_ reason: EventBusError) {
        let (count, bytes) = traffic.endWaiting { $0.fail(reason) }
        queue.noteLeft(count, bytes: bytes)
    }

    /// Sends an internal command of the connection before the waiting commands.
    func send(_ command: RedisCommand, of owner: CommandPipeline.Owner) {
        traffic.send(command, of: owner, at: .now)
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard !isFlushScheduled, traffic.hasOutput else { return }
        isFlushScheduled = true
        thread.atEndOfTurn { [weak self] in self?.assumeIsolated { $0.flush() } }
    }

    func flush() {
        isFlushScheduled = false
        guard let socket, phase == .ready || phase == .greeting else { return }
        while traffic.hasOutput {
            let transfer = if let tls { traffic.withOutput(tls.write) } else { traffic.withOutput(socket.write) }
            switch transfer {
            case .moved(let count):
                traffic.noteWritten(count, at: .now)
            case .wouldBlock:
                if let watch { thread.setEvents([.readable, .writable], of: watch) }
                return
            case .closed:
                return loseAfterReading(EventBusError(.unavailable, "Redis closed the connection"))
            case .failed(let problem):
                return loseAfterReading(
                    EventBusError(.unavailable, "sending to Redis failed: \(String(errorNumber: problem))")
                )
            case .broken(let reason):
                return loseAfterReading(EventBusError(.unavailable, "sending to Redis failed: \(reason)"))
            }
        }
        watchSocket()
    }

    /// Waits for input, and for the socket to accept the rest of the encrypted output.
    func watchSocket() {
        guard let watch else { return }
        if let tls { _ = tls.flush() }
        let hasOutput = (tls?.undeliveredByteCount ?? 0) > 0
        thread.setEvents(hasOutput ? [.readable, .writable] : .readable, of: watch)
    }
}
