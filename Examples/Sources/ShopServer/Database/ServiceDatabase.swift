import EventBus
import EventBusServiceKit
import GRDB
import Glibc
import Logging
import ServiceStorage
import SystemPackage

/// The opening and the health of a service's database.
enum ServiceDatabase {
    /// The time in seconds that a connection waits for another one, in this process or another.
    static let busyTimeout = 5.0

    /// Opens an SQLite database, creates it if it does not exist, and migrates its tables.
    ///
    /// It uses WAL mode, so that readers and the writer do not wait for each other. Every commit is on disk before it
    /// returns (`synchronous=FULL`), so a request that was answered and an event that was acknowledged survive a power
    /// failure. Several processes may start on one database at the same time. They check for missing migrations one
    /// after another.
    ///
    /// - Throws: `ServiceFailure`, which names the path.
    static func open(
        path: String,
        migrations: @Sendable (inout DatabaseMigrator) -> Void
    ) async throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(busyTimeout)
        var migrator = DatabaseMigrator()
        migrations(&migrator)
        do {
            let lock = try await MigrationLock(database: path)
            defer { lock.release() }
            makePrivateFile(path)
            let pool = try DatabasePool(path: path, configuration: configuration)
            // Here and not while it is opened, because a pool finally sets NORMAL.
            try await pool.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
            try migrator.migrate(pool)
            return pool
        } catch let failure as ServiceFailure {
            throw failure
        } catch let error as CancellationError {
            throw error
        } catch {
            throw ServiceFailure("cannot open the database \(path): \(error)")
        }
    }

    /// Connects to a PostgreSQL database and migrates its tables. Waits while the server cannot be reached.
    ///
    /// - Throws: `ServiceFailure` if the server refuses the service.
    static func open(
        postgres connection: String,
        migrations: KeyValuePairs<String, String>,
        logger: Logger
    ) async throws -> SQLDatabase {
        do {
            let database = try SQLDatabase(postgres: connection, logger: logger)
            do {
                try await migrate(database, migrations, logger: logger)
                return database
            } catch {
                await database.close()
                throw error
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            throw ServiceFailure("cannot use the PostgreSQL database: \(error)")
        }
    }

    private static func migrate(
        _ database: SQLDatabase,
        _ scripts: KeyValuePairs<String, String>,
        logger: Logger
    ) async throws {
        var isWaiting = false
        while true {
            do {
                return try await database.migrate(scripts)
            } catch let error as EventBusError where temporary.contains(error.code) {
                if !isWaiting { logger.warning("waiting for the database", metadata: ["error": "\(error)"]) }
                isWaiting = true
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// The errors after which the same work may succeed later.
    private static let temporary: Set<EventBusError.Code> = [.unavailable, .indeterminate, .timedOut]

    /// Creates a missing database that only its owner can read. SQLite gives its log the permissions of the database.
    ///
    /// The permissions of an existing database are the operator's choice. A failure becomes visible when SQLite opens
    /// the file.
    private static func makePrivateFile(_ path: String) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
    }

    /// Returns the health check of the database, without which a service is not ready.
    static func check(of database: SQLDatabase) -> HealthCheck {
        HealthCheck(isRequired: true) { [await health(of: database)] }
    }

    /// Returns the health of the database, which is checked with a small query.
    static func health(of database: SQLDatabase) async -> ComponentHealth {
        do {
            // SQLite reads the file only for a query of a table.
            let table = if case .sqlite = database { "sqlite_master" } else { "shop_migration" }
            try await database.read { transaction in _ = try transaction.rows("SELECT count(*) FROM \(table)") }
            return ComponentHealth(name: "database", status: .ready)
        } catch {
            return ComponentHealth(name: "database", status: .notReady, reason: "\(error)")
        }
    }
}

/// A lock that keeps other processes from migrating the same database.
struct MigrationLock {
    private let descriptor: CInt

    /// Waits until no other process holds it.
    init(database: String) async throws {
        let path = database + "-migration"
        descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ServiceFailure("cannot open the database \(database): \(Errno(rawValue: errno))")
        }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                let reason = Errno(rawValue: errno)
                close(descriptor)
                throw ServiceFailure("cannot lock \(path): \(reason)")
            }
            do {
                try await Task.sleep(for: .milliseconds(20))
            } catch {
                close(descriptor)
                throw error
            }
        }
    }

    func release() {
        // Closing it releases the lock. The file stays, because another process may be waiting for it.
        close(descriptor)
    }
}
