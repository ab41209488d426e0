import ConnectionThread
import DequeModule
import EventBus
import Logging

/// A lasting connection to one Redis server: it connects when first used, and again whenever it was lost.
///
/// Commands of all callers share one socket. What is submitted within one turn of the thread leaves in one `send`; an
/// idle connection sends at once. Replies are matched to commands by their order alone, which nothing may disturb: a
/// command that timed out or was cancelled keeps its place.
actor RedisConnection {
    /// What a connection is for.
    enum Role: Sendable {
        case commands
        /// Receives messages, and the names of changed keys that begin with one of the prefixes. `onEvent` is called on
        /// the connection's thread: it must be brief and not call the user.
        case subscriber(channels: [String], trackedPrefixes: [String], onEvent: @Sendable (SubscriptionEvent) -> Void)
    }

    /// What befalls a subscriber.
    enum SubscriptionEvent: Sendable {
        /// All subscriptions are in force.
        case began
        /// They are not, or not any more; messages may have been missed from before this moment on.
        case ended
        case message(channel: String, payload: RedisValue)
    }

    enum Phase {
        case idle
        case connecting
        case greeting
        case ready
        case pausing
        case closed
    }

    nonisolated let configuration: RedisConfiguration
    /// How long a command may take unless stated, in nanoseconds.
    private nonisolated let commandTimeout: UInt64
    nonisolated let queue: CommandQueue
    nonisolated let thread: ConnectionThread
    let role: Role
    let logger: Logger
    /// The server it is on, for others to compare theirs with.
    nonisolated let presence = ServerPresence()
    /// The connection whose server the messages have to come from.
    let partner: RedisConnection?
    nonisolated let subscription = Locked(SubscriptionStatus.pending)

    var phase = Phase.idle
    /// Counts the sockets, so that what was meant for an earlier one does nothing.
    var generation: UInt64 = 0
    var socket: RedisSocket?
    var watch: ConnectionThread.WatchID?
    var reader: ReplyReader?
    var handshake: Handshake
    var backoff: Backoff
    var addresses = AddressLine()
    /// The server of this connection, once it was greeted.
    var server: ServerIdentity?
    /// How often in a row commands and messages have reached different servers.
    var mismatches = 0
    /// What was said of refused features, which is said once.
    var reportedRefusals: Set<String> = []
    let lookup: AddressLookup
    var connectDeadline = MonotonicTime.now
    var readySince = MonotonicTime.now
    var lastReceived = MonotonicTime.now
    /// Up to where of all output the peer had received it when that was looked at last.
    var lastDelivered: UInt64 = 0
    var isAskingRole = false

    var traffic = CommandTraffic()
    /// What was submitted last; empty between turns.
    private var submitted = Deque<PendingCommand>()
    private var isFlushScheduled = false
    var nextSweep: MonotonicTime?
    var isPatienceCheckScheduled = false

    /// Finds the addresses of a host. May take as long as it likes unless `numericOnly`.
    typealias AddressLookup =
        @Sendable (_ host: String, _ port: Int, _ numericOnly: Bool) throws(EventBusError) -> [SocketAddress]

    init(
        _ configuration: RedisConfiguration,
        role: Role,
        thread: ConnectionThread,
        logger: Logger,
        partner: RedisConnection? = nil,
        lookup: @escaping AddressLookup = SocketAddress.resolve
    ) {
        self.configuration = configuration
        self.partner = partner
        self.commandTimeout = MonotonicTime.nanoseconds(configuration.commandTimeout)
        self.lookup = lookup
        self.queue = CommandQueue(
            capacity: configuration.maximumQueued,
            byteCapacity: configuration.maximumQueuedBytes
        )
        self.thread = thread
        self.role = role
        self.logger = logger
        self.handshake = Handshake(configuration, role: role)
        self.backoff = Backoff(
            initial: configuration.reconnectDelay,
            maximum: configuration.maximumReconnectDelay
        )
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    isolated deinit {
        dropSocket(reset: !traffic.inFlight.isEmpty)
        let reason = EventBusError(.shuttingDown, "the connection to Redis was closed")
        queue.take(into: &submitted)
        for flight in traffic.inFlight {
            if case .caller(let command) = flight.owner { command.fail(reason) }
        }
        for command in traffic.waiting { command.fail(reason) }
        for command in submitted { command.fail(reason) }
    }

    // MARK: for callers, on any thread

    /// Sends a command and waits for its reply, which may be an error of the server's.
    ///
    /// - Parameters:
    ///   - timeout: how long it may take; as configured unless stated.
    ///   - cancellation: how soon the cancellation of the calling task ends the wait. It does not take back a command
    ///     that was sent.
    /// - Throws: ``/EventBus/EventBusError``: `.unavailable`, `.timedOut` or `.blocked` when it was not sent, `.indeterminate` when
    ///   it was and no reply came; `CancellationError`.
    nonisolated func send(
        _ command: consuming RedisCommand,
        timeout: Duration? = nil,
        cancellation: Cancellation = .whenLate
    ) async throws -> RedisValue {
        if cancellation != .never, Task.isCancelled { throw CancellationError() }
        let pending = PendingCommand(command, timeout: nanoseconds(timeout))
        // Unchecked, since the command itself sees to it that it ends once, and the check would cost as much as that.
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
        return try await comeBack {
            pending.waiter.comeBack($0)
        } onCancel: {
            pending.cancel()
        }
    }

    /// How soon the cancellation of a task ends its wait for a reply.
    enum Cancellation {
        /// Not at all.
        case never
        /// Within twice ``patience``, which costs nothing where the reply comes before.
        case whenLate
        case atOnce
    }

    /// Sends commands one after another, without waiting for a reply between them; the replies are in their order.
    nonisolated func send(
        contentsOf commands: [RedisCommand],
        timeout: Duration? = nil
    ) async throws -> [RedisValue] {
        try Task.checkCancellation()
        guard !commands.isEmpty else { return [] }
        let batch = CommandBatch(commands, timeout: nanoseconds(timeout))
        let replies = try await withUnsafeThrowingContinuation { continuation in
            batch.waiter = .beginner(continuation)
            switch queue.add(contentsOf: batch.commands) {
            case .queued: break
            case .first: scheduleDrain()
            case .refused(let error): for command in batch.commands { command.fail(error) }
            }
        }
        if let replies { return replies }
        return try await comeBack {
            batch.waiter.comeBack($0)
        } onCancel: {
            batch.cancel()
        }
    }

    /// Sends a command whose reply nobody waits for.
    nonisolated func post(_ command: RedisCommand) {
        submit(PendingCommand(command, timeout: commandTimeout))
    }

    /// Sends a command on behalf of no task.
    ///
    /// - Parameter onReply: told once how it ended, on the connection's thread, or on this one if it is refused.
    nonisolated func send(
        _ command: RedisCommand,
        timeout: Duration,
        onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    ) {
        let pending = PendingCommand(command, timeout: nanoseconds(timeout))
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

    /// Ends the connection for good; what is in flight or waits fails.
    func close() {
        guard phase != .closed else { return }
        let reason = EventBusError(.shuttingDown, "the connection to Redis was closed")
        queue.setRefusal(reason)
        endSocket(reason)
        phase = .closed
        failWaiting(reason)
    }

    /// Fetches a handler of cancellation, and waits on with it.
    private nonisolated func comeBack<Value: Sendable>(
        _ body: @escaping @Sendable (UnsafeContinuation<Value, any Error>) -> Void,
        onCancel: @escaping @Sendable () -> Void
    ) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in thread.execute { body(continuation) } }
        } onCancel: {
            thread.execute(onCancel)
        }
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

    // MARK: sending

    /// Takes what callers have submitted.
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
        case .idle: connect()
        case .connecting, .greeting, .ready: break
        case .pausing, .closed:
            if let refusal = queue.refusal { failWaiting(refusal) }
        }
    }

    /// Sends what waits, as far as there may be more in flight.
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

    /// Fails what was not sent.
    func failWaiting(_ reason: EventBusError) {
        let (count, bytes) = traffic.endWaiting { $0.fail(reason) }
        queue.noteLeft(count, bytes: bytes)
    }

    /// Sends a command of the connection's own, before what waits.
    func send(_ command: RedisCommand, of owner: CommandTraffic.Owner) {
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
            switch traffic.withOutput(socket.write) {
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
            }
        }
        if let watch { thread.setEvents(.readable, of: watch) }
    }
}
