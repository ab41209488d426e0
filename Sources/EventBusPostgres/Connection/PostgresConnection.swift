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

    /// A closure that is called once with the result, on the connection's thread. It must be brief.
    typealias OnAnswer = @Sendable (Result<Answer, any Error>) -> Void

    /// Statements that are carried out in order, in one transaction unless they contain `BEGIN` or `COMMIT`.
    private final class Batch {
        let number: UInt64
        let statements: [PostgresStatement]
        /// The number of statements before those of the caller.
        let prefix: Int
        /// The session that has to carry out the statements, or `nil` if any may.
        let session: UInt64?
        /// A Boolean value indicating whether the batch prepares a session.
        let isSetup: Bool
        /// The caller, until it has its result.
        var onAnswer: OnAnswer?
        var timer: TimerID?
        var sentAt = MonotonicTime.now
        /// The time at which a part of the reply last arrived that did not end it.
        var lastPart: MonotonicTime?
        var results: [PostgresResult] = []
        var error: EventBusError?

        init(
            _ number: UInt64,
            _ statements: [PostgresStatement],
            prefix: [PostgresStatement] = [],
            session: UInt64? = nil,
            _ onAnswer: OnAnswer?
        ) {
            self.number = number
            self.statements = prefix + statements
            self.prefix = prefix.count
            self.session = session
            self.isSetup = onAnswer == nil
            self.onAnswer = onAnswer
        }

        /// Notifies the caller, unless it has its result.
        func answer(_ result: Result<Answer, any Error>) {
            let caller = onAnswer
            onAnswer = nil
            caller?(result)
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

    nonisolated let thread: ConnectionThread
    private let configuration: PostgresConfiguration
    private let logger: Logger
    /// The statements that prepare a new session.
    private let setup: [PostgresStatement]
    /// The first statements of a transaction that is one batch, and of one of several batches.
    private let first: (ofBatch: [PostgresStatement], ofTransaction: [PostgresStatement])
    /// The time after which a server that sends nothing counts as lost. It is longer than the server's own limit, which has
    /// a better explanation.
    private let patience: Duration
    private let onNotification: (@Sendable () -> Void)?

    private var phase = Phase.idle
    private var waiting = Deque<Batch>()
    private var sent = Deque<Batch>()
    private var lastNumber: UInt64 = 0
    private var failures = 0
    /// The time at which something last arrived.
    private var lastReceipt = MonotonicTime(nanoseconds: 0)
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
    ///   - hasSettings: `false` for the settings of the role, as another client has them.
    ///   - onNotification: A function that is called on the connection's thread for notifications, and after each
    ///     connection, because notifications may have been missed. It must be brief.
    init(
        _ configuration: PostgresConfiguration,
        logger: Logger,
        channel: String? = nil,
        hasSettings: Bool = true,
        onNotification: (@Sendable () -> Void)? = nil
    ) throws(EventBusError) {
        self.configuration = configuration
        self.logger = logger
        self.thread = try ConnectionThread(name: "eventbus-pq")
        self.onNotification = onNotification
        patience = configuration.boundedTimeout * 5 / 4
        first =
            hasSettings
            ? (TransactionSettings.implicit(configuration), TransactionSettings.begin(configuration))
            : ([], [PostgresStatement("BEGIN")])
        setup = channel.map { [PostgresStatement("LISTEN \($0)")] } ?? []
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
    /// A call whose results do not arrive in time ends, and its statements keep their place among the others. A result of
    /// which parts arrive is waited for. The connection is given up when the server sends nothing at all.
    ///
    /// - Parameters:
    ///   - session: The session that has to carry them out, because it has an open transaction.
    ///   - isFirst: `true` if they begin a transaction that later calls go on with.
    ///   - observer: A brief closure that is called with the results on the connection's thread, before the caller is
    ///     resumed.
    /// - Throws: `EventBusError`: `.unavailable` if they were not sent in time, `.indeterminate` if no result arrived or
    ///   the session has ended, an error of the server. `CancellationError`.
    nonisolated func run(
        _ statements: [PostgresStatement],
        in session: UInt64? = nil,
        isFirst: Bool = false,
        observer: (@Sendable ([PostgresResult]) -> Void)? = nil
    ) async throws -> Answer {
        try Task.checkCancellation()
        let number = await nextNumber()
        return try await withTaskCancellationHandler {
            try await perform(statements, session: session, isFirst: isFirst, number: number, observer)
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
        isFirst: Bool,
        number: UInt64,
        _ observer: (@Sendable ([PostgresResult]) -> Void)?
    ) async throws -> Answer {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            enqueue(statements, session: session, isFirst: isFirst, number: number) { result in
                if let observer, case .success(let answer) = result { observer(answer.results) }
                continuation.resume(with: result)
            }
        }
    }

    /// Carries out statements in one transaction without a waiting task.
    nonisolated func send(_ statements: [PostgresStatement], onAnswer: @escaping OnAnswer) {
        thread.execute {
            self.assumeIsolated { connection in
                connection.lastNumber += 1
                connection.enqueue(
                    statements,
                    session: nil,
                    isFirst: false,
                    number: connection.lastNumber,
                    onAnswer: onAnswer
                )
            }
        }
    }

    private func enqueue(
        _ statements: [PostgresStatement],
        session: UInt64?,
        isFirst: Bool,
        number: UInt64,
        onAnswer: @escaping OnAnswer
    ) {
        if case .closed = phase {
            return onAnswer(.failure(EventBusError(.shuttingDown, "the connection to PostgreSQL was closed")))
        }
        let prefix = session != nil ? [] : isFirst ? first.ofTransaction : first.ofBatch
        let batch = Batch(number, statements, prefix: prefix, session: session, onAnswer)
        arm(batch, at: MonotonicTime.now.advanced(by: patience))
        waiting.append(batch)
        pump()
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

    private func arm(_ batch: Batch, at time: MonotonicTime) {
        if let timer = batch.timer { thread.cancel(timer) }
        let number = batch.number
        batch.timer = thread.schedule(at: time) { [weak self] in
            self?.assumeIsolated { $0.expire(number) }
        }
    }

    private func expire(_ number: UInt64) {
        if let index = waiting.firstIndex(where: { $0.number == number }) {
            let reason = problem.map { ": \($0)" } ?? ""
            let error = EventBusError(.unavailable, "PostgreSQL was not reached in time\(reason)", underlying: problem)
            finish(waiting.remove(at: index), .failure(error))
        } else if let batch = sent.first(where: { $0.number == number }) {
            expire(sent: batch)
        }
    }

    private func expire(sent batch: Batch) {
        batch.timer = nil
        let now = MonotonicTime.now
        if let end = batch.lastPart?.advanced(by: patience), now < end { return arm(batch, at: end) }
        let error = EventBusError(.indeterminate, "PostgreSQL did not answer in time")
        let end = max(batch.sentAt, lastReceipt).advanced(by: patience)
        guard now < end else { return lose(error) }
        // The server is at work for others. The place of the batch tells which reply is its own.
        batch.answer(.failure(error))
        arm(batch, at: end)
    }

    private func finish(_ batch: Batch, _ result: Result<Answer, any Error>) {
        if let timer = batch.timer { thread.cancel(timer) }
        batch.answer(result)
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
        batch.sentAt = .now
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
        let first = sent.first
        let isAlive = handle.consumeInput()
        if isAlive { lastReceipt = .now }
        receive(from: handle)
        if isAlive, let first, first === sent.first { first.lastPart = lastReceipt }
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
                    batch.error = batch.error ?? error(result.error.redacted(configuration), of: batch)
                case .aborted: break
                case .sync: complete(sent.removeFirst())
                case .unexpected:
                    return lose(EventBusError(.indeterminate, "PostgreSQL sent a reply of an unexpected kind"))
                }
            }
        }
    }

    /// Returns the error of the next statement of a batch.
    private func error(_ error: PostgresServerError, of batch: Batch) -> EventBusError {
        var error = error
        error.statement = batch.results.count - batch.prefix
        // A standby has no transactions that write.
        if error.statement < 0, error.code == PostgresServerError.unsupported {
            error.code = PostgresServerError.readOnly
        }
        return error.asEventBusError
    }

    private func complete(_ batch: Batch) {
        if let error = batch.error {
            finish(batch, .failure(error))
            if batch.isSetup, failures == 0 {
                logger.warning(
                    "cannot prepare a session of PostgreSQL",
                    metadata: [LogKeys.error: "\(String(loggable: error))"]
                )
            }
            let isReadOnly = (error.underlying as? PostgresServerError)?.code == PostgresServerError.readOnly
            // The next session may find the server that replaced this one.
            if batch.isSetup || isReadOnly { lose(error) }
        } else if batch.results.count != batch.statements.count {
            finish(batch, .failure(EventBusError(.indeterminate, "PostgreSQL did not answer every statement")))
        } else {
            if batch.isSetup { noteReady() }
            finish(batch, .success(Answer(results: Array(batch.results.dropFirst(batch.prefix)), session: session)))
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
            let preparation = Batch(0, setup, nil)
            // A pooler answers logins itself, and lets statements wait while the server is down.
            arm(preparation, at: MonotonicTime.now.advanced(by: patience))
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
        var error = self
        error.message = configuration.redact(message)
        error.hint = hint.map(configuration.redact)
        return error
    }
}
