internal import ConnectionThread
internal import DequeModule
internal import EventBus
internal import Logging

/// A lasting connection to PostgreSQL. It connects when it is first used, and reconnects whenever it was lost.
///
/// The batches of all callers are pipelined: they are sent without waiting for the results of earlier ones, and are
/// carried out in order. A thread of its own connects, because libpq blocks in name resolution.
actor PostgresConnection {
    /// The results of a batch.
    struct Answer: Sendable {
        /// One result for each statement.
        var results: [PostgresResult]
        /// The number of the session that carried out the statements.
        var session: UInt64
    }

    /// Statements that are carried out in order, in one transaction unless they contain `BEGIN` or `COMMIT`.
    private final class Batch {
        let number: UInt64
        let statements: [PostgresStatement]
        /// The session that has to carry out the statements, or `nil` if any may.
        let session: UInt64?
        let continuation: CheckedContinuation<Answer, any Error>?
        var timer: TimerID?
        var results: [PostgresResult] = []
        var error: EventBusError?

        init(
            _ number: UInt64,
            _ statements: [PostgresStatement],
            session: UInt64?,
            _ continuation: CheckedContinuation<Answer, any Error>?
        ) {
            self.number = number
            self.statements = statements
            self.session = session
            self.continuation = continuation
        }
    }

    private enum Phase {
        case idle
        case connecting
        case pausing
        case ready(PostgresHandle, ConnectionThread.WatchID)
        case closed
    }

    /// The maximum number of batches that are sent and not answered.
    private static let maximumInFlight = 64

    private nonisolated let thread: ConnectionThread
    private let configuration: PostgresConfiguration
    private let logger: Logger
    /// The statements that prepare a new session.
    private let setup: [PostgresStatement]
    private let onNotification: (@Sendable () -> Void)?

    private var phase = Phase.idle
    private var waiting = Deque<Batch>()
    private var sent = Deque<Batch>()
    private var lastNumber: UInt64 = 0
    private var failures = 0
    /// The number of sessions so far.
    private var session: UInt64 = 0
    /// The reason why there is no connection.
    private var problem: EventBusError?
    /// A Boolean value indicating whether the session is prepared.
    private var isPrepared = false
    /// A Boolean value indicating whether the connection is kept even when nobody waits for a result.
    private var isListening = false

    /// Creates a connection.
    ///
    /// - Parameters:
    ///   - channel: The channel whose notifications are received.
    ///   - onNotification: A function that is called on the connection's thread for notifications, and after each
    ///     connection, because notifications may have been missed. It must be brief.
    init(
        _ configuration: PostgresConfiguration,
        logger: Logger,
        channel: String? = nil,
        onNotification: (@Sendable () -> Void)? = nil
    ) throws(EventBusError) {
        self.configuration = configuration
        self.logger = logger
        self.thread = try ConnectionThread(name: "eventbus-pq")
        self.onNotification = onNotification
        // The server gives up a statement before the client does, so that locks do not outlast the caller.
        let limit = max(1, configuration.commandTimeout.inNanoseconds / 1_000_000)
        let settings = [
            ("statement_timeout", "\(limit)"), ("lock_timeout", "\(limit)"),
            ("idle_in_transaction_session_timeout", "\(limit)"),
            ("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off"),
            // An event must not be published before the transaction that stored it is on disk. A commit of the relay writes
            // all earlier ones.
            ("synchronous_commit", "on"),
            // The tables are small most of the time, and statistics of a queue are always wrong.
            ("enable_seqscan", "off"), ("jit", "off"),
        ]
        setup =
            settings.map { PostgresStatement("SELECT set_config(?, ?, false)", [.text($0.0), .text($0.1)]) }
            + (channel.map { [PostgresStatement("LISTEN \($0)")] } ?? [])
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    isolated deinit {
        fail(EventBusError(.shuttingDown, "the connection to PostgreSQL was closed"))
        if case .ready(_, let watch) = phase { thread.unwatch(watch) }
    }

    // MARK: Calls

    /// Carries out statements, which are sent together.
    ///
    /// Cancellation has an effect until they are sent. From then on the call waits for the results.
    ///
    /// - Parameter session: The session that has to carry them out, because it has an open transaction.
    /// - Throws: `EventBusError`: `.unavailable` if they were not sent in time, `.indeterminate` if no result arrived or
    ///   the session has ended, an error of the server. `CancellationError`.
    nonisolated func run(_ statements: [PostgresStatement], in session: UInt64? = nil) async throws -> Answer {
        try Task.checkCancellation()
        let number = await nextNumber()
        return try await withTaskCancellationHandler {
            try await perform(statements, session: session, number: number)
        } onCancel: {
            Task { await self.cancel(number) }
        }
    }

    private func nextNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    private func perform(
        _ statements: [PostgresStatement],
        session: UInt64?,
        number: UInt64
    ) async throws -> Answer {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            if case .closed = phase {
                return continuation.resume(
                    throwing: EventBusError(.shuttingDown, "the connection to PostgreSQL was closed")
                )
            }
            let batch = Batch(number, statements, session: session, continuation)
            // Later than the server's own limit, which has a better explanation.
            let deadline = MonotonicTime.now.advanced(by: configuration.commandTimeout * 5 / 4)
            batch.timer = thread.schedule(at: deadline) { [weak self] in
                self?.assumeIsolated { $0.expire(number) }
            }
            waiting.append(batch)
            pump()
        }
    }

    /// Connects if there is no connection, and stays connected to receive notifications.
    func listen() {
        isListening = true
        pump()
    }

    /// Ends the connection for good.
    func close() {
        drop()
        phase = .closed
        fail(EventBusError(.shuttingDown, "the connection to PostgreSQL was closed"))
    }

    /// Ends the session, and with it an open transaction. The next statement uses a new one.
    func reset() {
        guard case .ready = phase else { return }
        lose(EventBusError(.indeterminate, "the session was ended"))
    }

    private func cancel(_ number: UInt64) {
        guard let index = waiting.firstIndex(where: { $0.number == number }) else { return }
        finish(waiting.remove(at: index), .failure(CancellationError()))
    }

    private func expire(_ number: UInt64) {
        if let index = waiting.firstIndex(where: { $0.number == number }) {
            let reason = problem.map { ": \($0)" } ?? ""
            let error = EventBusError(.unavailable, "PostgreSQL was not reached in time\(reason)", underlying: problem)
            finish(waiting.remove(at: index), .failure(error))
        } else if sent.contains(where: { $0.number == number }) {
            lose(EventBusError(.indeterminate, "PostgreSQL did not answer in time"))
        }
    }

    private func finish(_ batch: Batch, _ result: Result<Answer, any Error>) {
        if let timer = batch.timer { thread.cancel(timer) }
        batch.continuation?.resume(with: result)
    }

    private func fail(_ error: EventBusError) {
        let batches = Array(sent) + Array(waiting)
        sent = []
        waiting = []
        for batch in batches { finish(batch, .failure(error)) }
    }

    // MARK: Sending and receiving

    private func pump() {
        switch phase {
        case .idle:
            if isListening || !waiting.isEmpty { connect() }
        case .ready(let handle, let watch):
            while isPrepared, sent.count < Self.maximumInFlight, let batch = waiting.popFirst() {
                if let needed = batch.session, needed != session {
                    finish(batch, .failure(EventBusError(.indeterminate, "the session of the transaction has ended")))
                } else if !submit(batch, on: handle) {
                    return
                }
            }
            flush(handle, watch)
        case .connecting, .pausing, .closed: break
        }
    }

    /// Queues a batch. Returns `false` if the connection was lost.
    private func submit(_ batch: Batch, on handle: PostgresHandle) -> Bool {
        sent.append(batch)
        for statement in batch.statements where !handle.send(statement) {
            lose(EventBusError(.indeterminate, "PostgreSQL cannot be sent to: \(handle.message(configuration))"))
            return false
        }
        if handle.sendSync() { return true }
        lose(EventBusError(.indeterminate, "PostgreSQL cannot be sent to: \(handle.message(configuration))"))
        return false
    }

    private func flush(_ handle: PostgresHandle, _ watch: ConnectionThread.WatchID) {
        switch handle.flush() {
        case .done: thread.setEvents(.readable, of: watch)
        case .incomplete: thread.setEvents([.readable, .writable], of: watch)
        case .failed:
            lose(
                EventBusError(.indeterminate, "the connection to PostgreSQL was lost: \(handle.message(configuration))")
            )
        }
    }

    private func socketIsReady() {
        guard case .ready(let handle, let watch) = phase else { return }
        let isAlive = handle.consumeInput()
        receive(from: handle)
        guard case .ready = phase else { return }
        if handle.takeNotifications() > 0 { onNotification?() }
        guard isAlive, handle.isAlive else {
            return lose(
                EventBusError(.indeterminate, "the connection to PostgreSQL was lost: \(handle.message(configuration))")
            )
        }
        flush(handle, watch)
        pump()
    }

    private func receive(from handle: PostgresHandle) {
        var ends = 0
        while let batch = sent.first {
            switch handle.nextReply() {
            case .incomplete: return
            case .end:
                ends += 1
                // One follows the results of each statement. More mean that nothing else has arrived.
                if ends > 1 { return }
                continue
            case .result(let result):
                ends = 0
                switch result.kind {
                case .success: batch.results.append(result)
                case .error:
                    batch.error = batch.error ?? result.error.redacted(configuration).asEventBusError
                case .aborted: break
                case .sync: complete(sent.removeFirst())
                case .unexpected:
                    return lose(EventBusError(.indeterminate, "PostgreSQL sent a reply of an unexpected kind"))
                }
            }
        }
    }

    private func complete(_ batch: Batch) {
        if let error = batch.error {
            finish(batch, .failure(error))
            let isReadOnly = (error.underlying as? PostgresServerError)?.code == PostgresServerError.readOnly
            // The next session may find the server that replaced this one.
            if batch.continuation == nil || isReadOnly { lose(error) }
        } else if batch.results.count != batch.statements.count {
            finish(batch, .failure(EventBusError(.indeterminate, "PostgreSQL did not answer every statement")))
        } else {
            if batch.continuation == nil { noteReady() }
            finish(batch, .success(Answer(results: batch.results, session: session)))
        }
    }

    // MARK: Connecting

    private func connect() {
        phase = .connecting
        let configuration = configuration
        let failure = startDetachedThread(name: "eventbus-pq-new", stackSize: 1 << 20) { [weak self] in
            let outcome: Result<PostgresHandle, EventBusError>
            do throws(EventBusError) {
                outcome = .success(try PostgresHandle.connect(configuration))
            } catch {
                outcome = .failure(error)
            }
            Task { await self?.connected(outcome) }
        }
        if failure != 0 {
            connected(.failure(EventBusError(.unavailable, "no thread: \(String(errorNumber: failure))")))
        }
    }

    private func connected(_ outcome: Result<PostgresHandle, EventBusError>) {
        guard case .connecting = phase else { return }
        switch outcome {
        case .success(let handle):
            let watch = thread.watch(handle.socket, for: .readable) { [weak self] _ in
                self?.assumeIsolated { $0.socketIsReady() }
            }
            phase = .ready(handle, watch)
            isPrepared = false
            if handle.isUnverified, session == 0 {
                logger.warning(
                    "the identity of PostgreSQL is not verified: use sslmode=verify-full",
                    metadata: ["postgres.address": "\(String(loggable: configuration))"]
                )
            }
            session += 1
            let preparation = Batch(0, setup, session: nil, nil)
            // A pooler answers logins itself, and lets statements wait while the server is down.
            preparation.timer = thread.schedule(
                at: MonotonicTime.now.advanced(by: configuration.commandTimeout * 5 / 4)
            ) { [weak self] in
                self?.assumeIsolated { $0.expire(0) }
            }
            guard submit(preparation, on: handle) else { return }
            pump()
        case .failure(let error):
            if failures == 0 {
                logger.warning("cannot connect to PostgreSQL", metadata: [LogKeys.error: "\(String(loggable: error))"])
            }
            problem = error
            pause()
        }
    }

    private func noteReady() {
        if failures > 0 { logger.info("connected to PostgreSQL again") }
        failures = 0
        problem = nil
        isPrepared = true
        onNotification?()
    }

    /// Waits before the next attempt to connect.
    private func pause() {
        failures = min(failures + 1, 1000)
        phase = .pausing
        let policy = RetryPolicy(
            initial: configuration.reconnect.initial,
            maximum: max(configuration.reconnect.initial, configuration.reconnect.maximum)
        )
        thread.schedule(at: MonotonicTime.now.advanced(by: policy.delay(afterAttempt: failures))) { [weak self] in
            self?.assumeIsolated { $0.endPause() }
        }
    }

    private func endPause() {
        guard case .pausing = phase else { return }
        phase = .idle
        pump()
    }

    /// Drops the connection. The batches that were sent have no known outcome, and those that wait keep waiting.
    private func lose(_ error: EventBusError) {
        guard case .ready = phase else { return }
        drop()
        problem = error
        let batches = sent
        sent = []
        for batch in batches { finish(batch, .failure(error)) }
        pause()
    }

    private func drop() {
        if case .ready(_, let watch) = phase { thread.unwatch(watch) }
        phase = .idle
    }
}

extension PostgresServerError {
    /// The error without the password, which a server might repeat.
    fileprivate func redacted(_ configuration: PostgresConfiguration) -> PostgresServerError {
        PostgresServerError(code: code, message: configuration.redact(message), hint: hint.map(configuration.redact))
    }
}
