import GRDB
import Synchronization
import Tracing

/// A group commit, which commits concurrent writes together: many small transactions share one `fsync`.
///
/// The cost of a commit is the wait for the disk, whatever its size. While one commit waits, further writes gather and
/// form the next one. Each write runs in its own savepoint, so that a failing write leaves no trace and affects no
/// other one. It returns when the common transaction is on disk, so callers cannot distinguish it from a transaction of
/// their own.
final class GroupCommit: Sendable {
    /// The result of a write before it is known whether it is kept.
    private struct Attempt {
        /// The error of the write, whose changes are already rolled back.
        var failure: (any Error)?
        /// A closure that tells the caller that the transaction has committed (`nil`) or failed.
        var report: ((any Error)?) -> Void
    }

    private struct Job: Sendable {
        /// A closure that runs the write in the transaction of the connection.
        var attempt: @Sendable (Database) -> Attempt
        /// A closure that tells the caller that the write could not be run.
        var refuse: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Job] = []
        /// A Boolean value indicating whether a commit is running or about to start. It checks for more writes when it
        /// ends.
        var isBusy = false
    }

    private let database: any DatabaseWriter
    private let limit: Int
    private let state = Mutex(State())

    /// Creates a group commit for `database` with at most `limit` writes. With 1, each write has its own transaction.
    init(_ database: some DatabaseWriter, limit: Int = 128) {
        self.database = database
        self.limit = max(1, limit)
    }

    /// The number of writes that wait to be committed.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Writes to the database, all or nothing. A cancellation of the task has no effect.
    ///
    /// - Parameter body: The write. It runs with the trace and the correlation of the caller.
    /// - Throws: Errors of `body`; a `DatabaseError` of GRDB if nothing could be committed.
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

    /// Queues behind the database's other writers, such as a relay, so that no writer starves.
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
                    // SQLite itself rolls everything back if the disk is full or broken.
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
