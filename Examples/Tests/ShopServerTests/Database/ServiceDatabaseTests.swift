import EventBus
import EventBusServiceKit
import GRDB
import ServiceStorage
import Testing

@testable import ShopServer

@Suite("Database", .timeLimit(.minutes(1)))
struct ServiceDatabaseTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    private static func migrations(_ migrator: inout DatabaseMigrator) {
        for number in 1...5 {
            migrator.registerMigration("table \(number)") { db in
                try db.execute(sql: "CREATE TABLE t\(number) (id INTEGER PRIMARY KEY, value TEXT)")
            }
        }
    }

    private func open(_ name: String = "db") async throws -> DatabasePool {
        try await ServiceDatabase.open(path: directory.file(name), migrations: Self.migrations)
    }

    @Test("It uses WAL mode, waits for other connections, and every commit is on disk")
    func pragmas() async throws {
        let database = try await open()
        let (journal, synchronous, timeout) = try await database.writeWithoutTransaction { db in
            (
                try String.fetchOne(db, sql: "PRAGMA journal_mode"),
                try Int.fetchOne(db, sql: "PRAGMA synchronous"),
                try Int.fetchOne(db, sql: "PRAGMA busy_timeout")
            )
        }
        // 2 means FULL.
        #expect(journal == "wal" && synchronous == 2 && timeout == 5000)
        let health = await ServiceDatabase.health(of: .sqlite(database))
        #expect(health == ComponentHealth(name: "database", status: .ready))
    }

    @Test("Only its owner can read a new database, its log and its lock file")
    func permissions() async throws {
        let database = try await open()
        try await database.write { db in try db.execute(sql: "INSERT INTO t1 (value) VALUES ('secret')") }
        for name in ["db", "db-wal", "db-shm", "db-migration"] {
            #expect(directory.permissions(of: name) == 0o600, "\(name)")
        }
    }

    @Test("Several processes that start on one new database migrate it once")
    func startingAtOnce() async throws {
        let databases = try await withThrowingTaskGroup(of: DatabasePool.self) { group in
            for _ in 0..<8 { group.addTask { try await open() } }
            var databases: [DatabasePool] = []
            for try await database in group { databases.append(database) }
            return databases
        }
        for (index, database) in databases.enumerated() {
            try await database.write { db in
                try db.execute(sql: "INSERT INTO t5 (value) VALUES (?)", arguments: ["\(index)"])
            }
        }
        #expect(try await databases[0].read { try Int.fetchOne($0, sql: "SELECT count(*) FROM t5") } == 8)
    }

    @Test("A database that cannot be opened is refused with its path and the reason")
    func unopenable() async throws {
        let missing = "/nowhere/orders.sqlite"
        await #expect(throws: ServiceFailure("cannot open the database \(missing): No such file or directory")) {
            try await ServiceDatabase.open(path: missing, migrations: Self.migrations)
        }
        let path = try directory.write(String(repeating: "no database ", count: 500), to: "text")
        let failure = await #expect(throws: ServiceFailure.self) {
            try await ServiceDatabase.open(path: path, migrations: Self.migrations)
        }
        #expect(try #require(failure).description.hasPrefix("cannot open the database \(path): "))
    }

    @Test("A closed database is not ready")
    func closed() async throws {
        let database = try await open()
        try database.close()
        #expect(await ServiceDatabase.health(of: .sqlite(database)).status == .notReady)
    }

    @Test("A process that waits for another's migrations can be cancelled")
    func givingUp() async throws {
        let lock = try await MigrationLock(database: directory.file("db"))
        let waiting = Task { try await open() }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        lock.release()
        _ = try await open()
    }
}
