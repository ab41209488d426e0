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

    enum Owner {
        case caller(PendingCommand)
        case greeting(Handshake.Step)
        case heartbeat
    }

    struct Flight {
        let owner: Owner
        let size: Int
        let sentAt: MonotonicTime
    }

    nonisolated let configuration: RedisConfiguration
    nonisolated let queue: CommandQueue
    nonisolated let thread: ConnectionThread
    let role: Role
    let logger: Logger

    var phase = Phase.idle
    /// Counts the sockets, so that what was meant for an earlier one does nothing.
    var generation: UInt64 = 0
    var socket: RedisSocket?
    var watch: ConnectionThread.WatchID?
    var reader: ReplyReader?
    var handshake: Handshake
    var backoff: Backoff
    var addresses = AddressLine()
    let lookup: AddressLookup
    var connectDeadline = MonotonicTime.now
    var readySince = MonotonicTime.now
    var lastReceived = MonotonicTime.now

    /// Not sent yet.
    var waiting = Deque<PendingCommand>()
    /// Sent, in the order in which their replies come.
    var inFlight = Deque<Flight>()
    var inFlightSize = 0
    private var output: [UInt8] = []
    private var outputStart = 0
    private var isFlushScheduled = false
    var nextSweep: MonotonicTime?

    /// Finds the addresses of a host. May take as long as it likes unless `numericOnly`.
    typealias AddressLookup =
        @Sendable (_ host: String, _ port: Int, _ numericOnly: Bool) throws(EventBusError) -> [SocketAddress]

    init(
        _ configuration: RedisConfiguration,
        role: Role,
        thread: ConnectionThread,
        logger: Logger,
        lookup: @escaping AddressLookup = SocketAddress.resolve
    ) {
        self.configuration = configuration
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
        dropSocket(reset: !inFlight.isEmpty)
        let reason = EventBusError(.shuttingDown, "the connection to Redis was closed")
        for flight in inFlight {
            if case .caller(let command) = flight.owner { command.fail(reason) }
        }
        for command in waiting { command.fail(reason) }
        for command in queue.take() { command.fail(reason) }
    }

    // MARK: for callers, on any thread

    /// Sends a command and waits for its reply, which may be an error of the server's.
    ///
    /// - Parameters:
    ///   - timeout: how long it may take; as configured unless stated.
    ///   - isCancellable: whether the cancellation of the calling task ends the wait. It does not take back a command
    ///     that was sent.
    /// - Throws: ``/EventBus/EventBusError``: `.unavailable`, `.timedOut` or `.blocked` when it was not sent, `.indeterminate` when
    ///   it was and no reply came; `CancellationError`.
    nonisolated func send(
        _ command: RedisCommand,
        timeout: Duration? = nil,
        isCancellable: Bool = true
    ) async throws -> RedisValue {
        if isCancellable { try Task.checkCancellation() }
        return try await reply(to: submit(command, timeout: timeout), isCancellable: isCancellable)
    }

    /// Sends commands one after another, without waiting for a reply between them; the replies are in their order.
    nonisolated func send(
        contentsOf commands: [RedisCommand],
        timeout: Duration? = nil,
        isCancellable: Bool = true
    ) async throws -> [RedisValue] {
        if isCancellable { try Task.checkCancellation() }
        let pending = commands.map { submit($0, timeout: timeout) }
        var replies: [RedisValue] = []
        replies.reserveCapacity(pending.count)
        for (index, command) in pending.enumerated() {
            do {
                replies.append(try await reply(to: command, isCancellable: isCancellable))
            } catch {
                for rest in pending[index...] { rest.cancel() }
                throw error
            }
        }
        return replies
    }

    /// Sends a command whose reply nobody waits for.
    nonisolated func post(_ command: RedisCommand) {
        submit(command, timeout: nil)
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

    @discardableResult
    private nonisolated func submit(_ command: RedisCommand, timeout: Duration?) -> PendingCommand {
        let deadline = MonotonicTime.now.advanced(by: timeout ?? configuration.commandTimeout)
        let pending = PendingCommand(command, deadline: deadline)
        switch queue.add(pending) {
        case .queued: break
        case .first: scheduleDrain()
        case .refused(let error): pending.finish(.failure(error))
        }
        return pending
    }

    private nonisolated func reply(to pending: PendingCommand, isCancellable: Bool) async throws -> RedisValue {
        // Unchecked, since the command itself sees to it that it ends once, and the check would cost as much as that.
        guard isCancellable else { return try await withUnsafeThrowingContinuation { pending.attach($0) } }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { pending.attach($0) }
        } onCancel: {
            pending.cancel()
        }
    }

    // MARK: sending

    /// Takes what callers have submitted.
    private func drain() {
        let taken = queue.take()
        if let earliest = taken.lazy.map(\.deadline).min() { scheduleSweep(at: earliest) }
        waiting.append(contentsOf: taken)
        switch phase {
        case .idle: connect()
        case .ready: pump()
        case .connecting, .greeting: break
        case .pausing, .closed:
            if let refusal = queue.refusal { failWaiting(refusal) }
        }
    }

    /// Sends what waits, as far as there may be more in flight.
    func pump() {
        guard phase == .ready, !waiting.isEmpty else { return }
        let now = MonotonicTime.now
        var left = 0
        var leftBytes = 0
        while inFlight.count < configuration.maximumInFlight,
            inFlightSize < configuration.maximumInFlightBytes,
            let command = waiting.popFirst()
        {
            left += 1
            leftBytes += command.size
            guard command.markSent() else { continue }
            append(command.command, of: .caller(command), at: now)
        }
        queue.noteLeft(left, bytes: leftBytes)
    }

    /// Fails what was not sent.
    func failWaiting(_ reason: EventBusError) {
        let failed = waiting
        waiting = []
        queue.noteLeft(failed.count, bytes: failed.reduce(0) { $0 + $1.size })
        for command in failed { command.fail(reason) }
    }

    func append(_ command: RedisCommand, of owner: Owner, at now: MonotonicTime) {
        output += command.wire
        inFlight.append(Flight(owner: owner, size: command.wire.count, sentAt: now))
        inFlightSize += command.wire.count
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        thread.atEndOfTurn { [weak self] in self?.assumeIsolated { $0.flush() } }
    }

    func flush() {
        isFlushScheduled = false
        guard let socket, phase == .ready || phase == .greeting else { return }
        while outputStart < output.count {
            switch output.withUnsafeBytes({ socket.write(UnsafeRawBufferPointer(rebasing: $0[outputStart...])) }) {
            case .moved(let count):
                outputStart += count
            case .wouldBlock:
                if let watch { thread.setEvents([.readable, .writable], of: watch) }
                return
            case .closed:
                return lose(EventBusError(.unavailable, "Redis closed the connection"))
            case .failed(let problem):
                return lose(EventBusError(.unavailable, "sending to Redis failed: \(String(errorNumber: problem))"))
            }
        }
        clearOutput()
        if let watch { thread.setEvents(.readable, of: watch) }
    }

    func clearOutput() {
        output.removeAll(keepingCapacity: output.count <= 1 << 20)
        outputStart = 0
    }
}
