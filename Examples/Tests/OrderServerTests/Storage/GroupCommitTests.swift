import Dispatch
import GRDB
import ServiceTestKit
import Synchronization
import Testing
import Tracing

@testable import OrderServer

@Suite("A group commit", .timeLimit(.minutes(2)))
struct GroupCommitTests {
    private struct Refused: Error, Equatable {
        var number: Int
    }

    private let database: DatabaseQueue

    init() throws {
        database = try DatabaseQueue()
        try database.write { db in try db.execute(sql: "CREATE TABLE note (number INTEGER PRIMARY KEY)") }
    }

    private func insert(_ number: Int) -> @Sendable (Database) throws -> Int {
        { db in
            try db.execute(sql: "INSERT INTO note VALUES (?)", arguments: [number])
            return number
        }
    }

    private func numbers() async throws -> [Int] {
        try await database.read { db in try Int.fetchAll(db, sql: "SELECT number FROM note ORDER BY number") }
    }

    /// Lets `count` writes gather while the database is busy, and returns their results by number.
    private func writeTogether(
        _ count: Int,
        limit: Int = 128,
        _ body: @escaping @Sendable (Int) -> @Sendable (Database) throws -> Int
    ) async throws -> [Int: Result<Int, any Error>] {
        let group = GroupCommit(database, limit: limit)
        let isFree = DispatchSemaphore(value: 0)
        database.asyncWriteWithoutTransaction { _ in isFree.wait() }
        return try await withThrowingTaskGroup(of: (Int, Result<Int, any Error>).self) { tasks in
            for number in 0..<count {
                tasks.addTask {
                    do {
                        return (number, .success(try await group.write(body(number))))
                    } catch {
                        return (number, .failure(error))
                    }
                }
            }
            try await eventually { group.waitingCount == count }
            isFree.signal()
            return try await tasks.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }

    @Test("Concurrent writes are one transaction, in groups up to the limit", arguments: [(128, 1), (10, 4)])
    func together(limit: Int, commits: Int) async throws {
        let counter = CommitCounter()
        database.add(transactionObserver: counter, extent: .observerLifetime)
        let results = try await writeTogether(40, limit: limit, insert)
        #expect(try results.mapValues { try $0.get() } == Dictionary(uniqueKeysWithValues: (0..<40).map { ($0, $0) }))
        #expect(try await numbers() == Array(0..<40))
        #expect(counter.count == commits)
    }

    @Test("A failing write leaves no trace and does not affect others")
    func oneFails() async throws {
        let insert = insert
        let results = try await writeTogether(10) { number in
            { db in
                let result = try insert(number)(db)
                if number == 4 { throw Refused(number: number) }
                return result
            }
        }
        #expect(throws: Refused(number: 4)) { try results[4]?.get() }
        #expect(results.count { (try? $0.value.get()) != nil } == 9)
        #expect(try await numbers() == [0, 1, 2, 3, 5, 6, 7, 8, 9])
    }

    @Test("If the database rolls the transaction back, all callers are told")
    func allFail() async throws {
        let insert = insert
        let results = try await writeTogether(10) { number in
            { db in
                if number == 4 {
                    // The reaction of SQLite to a full disk.
                    try db.execute(sql: "ROLLBACK")
                    throw DatabaseError(resultCode: .SQLITE_FULL)
                }
                return try insert(number)(db)
            }
        }
        #expect(results.count == 10)
        for (number, result) in results {
            let error = #expect(throws: DatabaseError.self, "write \(number)") { try result.get() }
            #expect(error?.resultCode == .SQLITE_FULL)
        }
        #expect(try await numbers() == [])
        let group = GroupCommit(database)
        #expect(try await group.write(insert(100)) == 100)
    }

    @Test("A write runs in the context of its caller")
    func context() async throws {
        let group = GroupCommit(database)
        var context = ServiceContext.topLevel
        context[TestKey.self] = 7
        let seen = try await ServiceContext.withValue(context) {
            try await group.write { _ in ServiceContext.current?[TestKey.self] }
        }
        #expect(seen == 7)
        #expect(try await group.write { _ in ServiceContext.current?[TestKey.self] } == nil)
    }
}

private enum TestKey: ServiceContextKey {
    typealias Value = Int
}

private final class CommitCounter: TransactionObserver, Sendable {
    private let commits = Mutex(0)

    var count: Int { commits.withLock { $0 } }

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { true }

    func databaseDidChange(with event: DatabaseEvent) {}

    func databaseDidCommit(_ db: Database) {
        commits.withLock { $0 += 1 }
    }

    func databaseDidRollback(_ db: Database) {}
}
