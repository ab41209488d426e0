import GRDB
import Synchronization
import Tracing

/// Commits together what is written at the same time: many small transactions for one `fsync`.
///
/// What a commit costs is the wait for the disk, whatever its size. While one waits, the writes that come gather, and
/// are the next one. Each of them runs in a savepoint of its own, so that one that fails leaves no trace and disturbs no
/// other. It returns once the common transaction is on disk, so a caller cannot tell it from a transaction of its own.
final class GroupCommit: Sendable {
    /// What a write did, before it is known whether that is kept.
    private struct Attempt {
        /// Why it failed; its traces are gone then.
        var failure: (any Error)?
        /// Tells the caller, once the transaction has committed (`nil`) or failed.
        var report: ((any Error)?) -> Void
    }

    private struct Job: Sendable {
        /// Runs the write in the transaction of the connection.
        var attempt: @Sendable (Database) -> Attempt
        /// Tells the caller that it could not be run.
        var refuse: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Job] = []
        /// Whether a commit is under way or about to begin, which looks for more when it ends.
        var isBusy = false
    }

    private let database: any DatabaseWriter
    private let limit: Int
    private let state = Mutex(State())

    /// Commits to `database`, at most `limit` writes at a time; with 1 each has a transaction of its own.
    init(_ database: some DatabaseWriter, limit: Int = 128) {
        self.database = database
        self.limit = max(1, limit)
    }

    /// How many writes wait to be committed.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Writes to the database, in all or not at all. Cancelling the task does not cancel it.
    ///
    /// - Parameter body: What to write. It runs with the trace and the correlation of the caller.
    /// - Throws: What `body` throws; a `DatabaseError` of GRDB if nothing could be committed.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        let context = ServiceContext.current
        return try await withCheckedThrowingContinuation { continuation in
            let job = Job { db in
                let outcome = Result {
                    try ServiceContext.withValue(context) { try Self.inSavepoint(of: db, body) }
                }
                return Attempt(
                    failure: { if case .failure(let error) = outcome { error } else { nil } }(),
                    report: { error in continuation.resume(with: error.map { .failure($0) } ?? outcome) }
                )
            } refuse: { error in
                continuation.resume(throwing: error)
            }
            let isFirst = state.withLock { state in
                state.waiting.append(job)
                defer { state.isBusy = true }
                return !state.isBusy
            }
            if isFirst { commitSoon() }
        }
    }

    private static func inSavepoint<Value>(of db: Database, _ body: (Database) throws -> Value) throws -> Value {
        var value: Value?
        try db.inSavepoint {
            value = try body(db)
            return .commit
        }
        guard let value else { throw DatabaseError(resultCode: .SQLITE_ABORT, message: "the savepoint did not run") }
        return value
    }

    /// Queues behind the database's other writers, such as a relay, so that nobody is kept from writing.
    private func commitSoon() {
        database.asyncWriteWithoutTransaction { db in self.commit(db) }
    }

    private func commit(_ db: Database) {
        let jobs = state.withLock { state in
            let jobs = Array(state.waiting.prefix(limit))
            state.waiting.removeFirst(jobs.count)
            return jobs
        }
        var attempts: [Attempt] = []
        var failure: (any Error)?
        do {
            try db.inTransaction(.immediate) {
                for job in jobs {
                    let attempt = job.attempt(db)
                    attempts.append(attempt)
                    // SQLite itself rolls everything back where the disk is full or broken.
                    if !db.isInsideTransaction {
                        throw attempt.failure ?? DatabaseError(resultCode: .SQLITE_ABORT_ROLLBACK)
                    }
                }
                return .commit
            }
        } catch {
            failure = error
        }
        let hasMore = state.withLock { state in
            state.isBusy = !state.waiting.isEmpty
            return state.isBusy
        }
        if hasMore { commitSoon() }
        for attempt in attempts { attempt.report(failure) }
        if let failure {
            for job in jobs.dropFirst(attempts.count) { job.refuse(failure) }
        }
    }
}
