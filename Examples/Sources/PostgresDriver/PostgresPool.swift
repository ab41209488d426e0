import Synchronization

/// A bounded number of connections to a PostgreSQL database, made when they are needed.
///
/// ```swift
/// let pool = try PostgresPool("postgres://shop@localhost/shop")
/// try await pool.write { transaction in
///     try transaction.execute("INSERT INTO orders (id) VALUES ($1)", ["42"])
/// }
/// ```
///
/// It is a small client over libpq, which uses the events' outbox as any other driver would.
public final class PostgresPool: Sendable {
    private struct Waiter {
        var id: UInt64
        var continuation: CheckedContinuation<PostgresSession, any Error>
    }

    private struct State {
        var idle: [PostgresSession] = []
        var count = 0
        /// The waiting transactions, oldest first.
        var waiting: [Waiter] = []
        var lastID: UInt64 = 0
        var isClosed = false
    }

    private let address: ConnectionString
    private let size: Int
    private let timeout: Duration
    private let state = Mutex(State())

    /// Creates a pool, which connects when it is first used.
    ///
    /// - Parameters:
    ///   - connectionString: A connection string of libpq.
    ///   - size: The maximum number of connections.
    ///   - timeout: The maximum time that a transaction waits for a connection, and the maximum time that it then takes.
    /// - Throws: ``PostgresError`` for an invalid connection string.
    public init(_ connectionString: String, size: Int = 8, timeout: Duration = .seconds(5)) throws {
        self.address = try ConnectionString(connectionString)
        self.size = max(1, size)
        self.timeout = timeout
    }

    /// Runs `body` in a transaction that only reads, and sees the database as it was at one moment.
    ///
    /// - Throws: ``PostgresError``, or the error of `body`.
    public func read<Value: Sendable>(
        _ body: @Sendable (PostgresTransaction) throws -> Value
    ) async throws -> Value {
        try await transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", body)
    }

    /// Runs `body` in a transaction, which commits if `body` returns and is rolled back if it throws.
    ///
    /// If the connection is lost while it commits, the transaction may have committed although an error is thrown.
    ///
    /// - Throws: ``PostgresError``, or the error of `body`.
    public func write<Value: Sendable>(
        _ body: @Sendable (PostgresTransaction) throws -> Value
    ) async throws -> Value {
        try await transaction("BEGIN", body)
    }

    /// Closes the connections when their transactions have ended. Later transactions fail.
    public func close() async {
        let (idle, waiting) = state.withLock { state in
            state.isClosed = true
            defer { (state.idle, state.waiting) = ([], []) }
            return (state.idle, state.waiting)
        }
        for waiter in waiting { waiter.continuation.resume(throwing: Self.closed) }
        for session in idle { await session.close() }
    }

    private static let closed = PostgresError.unavailable("the connections to PostgreSQL are closed")

    private func transaction<Value: Sendable>(
        _ begin: String,
        _ body: @Sendable (PostgresTransaction) throws -> Value
    ) async throws -> Value {
        let session = try await acquire()
        defer { release(session) }
        return try await session.transaction(begin, within: timeout, body)
    }

    private func acquire() async throws -> PostgresSession {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let expiry = Task { [timeout] in
            try await Task.sleep(for: timeout)
            giveUp(id, PostgresError.unavailable("all \(size) connections to PostgreSQL were in use for \(timeout)"))
        }
        defer { expiry.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result: Result<PostgresSession, any Error>? = state.withLock { state in
                    if state.isClosed { return .failure(Self.closed) }
                    if let session = state.idle.popLast() { return .success(session) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.count < size {
                        state.count += 1
                        return .success(PostgresSession(address))
                    }
                    state.waiting.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            giveUp(id, CancellationError())
        }
    }

    private func giveUp(_ id: UInt64, _ error: any Error) {
        let waiter = state.withLock { state in
            state.waiting.firstIndex { $0.id == id }.map { state.waiting.remove(at: $0) }
        }
        waiter?.continuation.resume(throwing: error)
    }

    private func release(_ session: PostgresSession) {
        let next = state.withLock { state -> Waiter? in
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            // A session closes its connection when it is freed.
            if !state.isClosed { state.idle.append(session) }
            return nil
        }
        next?.continuation.resume(returning: session)
    }
}
