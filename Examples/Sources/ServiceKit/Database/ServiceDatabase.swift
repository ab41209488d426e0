import EventBus
import GRDB
import Glibc

/// The SQLite database of a service.
enum ServiceDatabase {
    /// How long a connection waits for another one, in this process or the next, before it gives up.
    static let busyTimeout = 5.0

    /// Opens the database, makes it if there is none, and brings its tables up to date.
    ///
    /// It is in WAL mode, so that readers and the writer do not wait for each other, and every commit is on the disk
    /// before it returns (`synchronous=FULL`): an answered request and an acknowledged event survive a power cut. Several
    /// processes may start on one database at once: one after the other looks at which migrations are missing.
    ///
    /// - Throws: ``ServiceFailure``, which names the path.
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
            // Here and not while it is opened: a pool sets NORMAL last of all.
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

    /// Creates a missing database that only its owner can read; SQLite gives its log the permissions of the database.
    ///
    /// The permissions of a database that exists are its operator's choice. A failure shows when SQLite opens the file.
    private static func makePrivateFile(_ path: String) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
    }

    /// Whether the database answers: what a small question to it comes to.
    static func health(of database: DatabasePool) async -> ComponentHealth {
        do {
            _ = try await database.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") }
            return ComponentHealth(name: "database", status: .ready)
        } catch {
            return ComponentHealth(name: "database", status: .notReady, reason: "\(error)")
        }
    }
}

/// Keeps other processes from migrating the same database.
struct MigrationLock {
    private let descriptor: CInt

    /// Waits until no other process holds it.
    init(database: String) async throws {
        let path = database + "-migration"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ServiceFailure("cannot open the database \(database): \(SystemError.text(errno))")
        }
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                let reason = SystemError.text(errno)
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
        // Closing it lets go of the lock. The file stays: another process may be waiting for it.
        close(descriptor)
    }
}
