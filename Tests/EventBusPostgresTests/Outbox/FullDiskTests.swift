import EventBus
import EventBusOutbox
import EventBusTesting
import Foundation
import Glibc
import Testing

@testable import EventBusPostgres

/// A server whose files are on a small file system. Only root can mount one, and not in every container.
@Suite(
    "The outbox in PostgreSQL on a full disk",
    .timeLimit(.minutes(5)),
    .enabled {
        guard geteuid() == 0 else { return false }
        return (try? await run("unshare", ["--mount", "true"])) != nil
    }
)
struct FullDiskTests {
    /// A small file system with a server on it.
    private final class SmallDisk: Sendable {
        let path: String
        let server: TestPostgres
        private var ballast: String { "\(path)/ballast" }

        init() async throws {
            let path = FileManager.default.temporaryDirectory.appending(path: "eventbus-disk-\(UUID().uuidString)").path
            self.path = path
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try await run("mount", ["-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", path])
            do {
                server = try await TestPostgres.start(in: "\(path)/server")
            } catch {
                _ = try? await run("umount", ["--lazy", path])
                throw error
            }
        }

        /// Leaves no space.
        func fill() async throws {
            // dd fails when the disk is full.
            _ = try? await run("dd", ["if=/dev/zero", "of=\(ballast)", "bs=64k"])
        }

        /// Makes space again.
        func free() throws {
            try FileManager.default.removeItem(atPath: ballast)
        }

        func remove() async {
            await server.stop()
            _ = try? await run("umount", ["--lazy", path])
            try? FileManager.default.removeItem(atPath: path)
        }
    }

    /// The code of PostgreSQL for a full disk.
    private static let diskFull = "53100"

    /// The outcomes of the transactions that stored orders.
    private struct Fates: Sendable {
        var committed: Set<Int> = []
        var rolledBack: Set<Int> = []
        /// Those whose commit was not answered.
        var unknown: Set<Int> = []
        var reasons: [String] = []
    }

    @Test("Nothing is lost, nothing that was rolled back is published, and whoever stores an event is told the reason")
    func fullDisk() async throws {
        let disk = try await SmallDisk()
        let result: Result<Void, any Error>
        do {
            result = .success(try await Self.check(disk))
        } catch {
            result = .failure(error)
        }
        await disk.remove()
        try result.get()
    }

    private static func check(_ disk: SmallDisk) async throws {
        let scene = Scene(try await disk.server.database())
        let relay = try scene.relay {
            $0.pollInterval = .milliseconds(20)
            $0.leaseDuration = .seconds(1)
        }
        let fates = Locked(Fates())
        @Sendable func store(_ number: Int) async {
            let isCommitted = !number.isMultiple(of: 3)
            do {
                let session = try scene.database.session()
                defer { Task { await session.close() } }
                // Sent together, because a new session after a lost one would carry out the rest alone.
                _ = try await session.execute(
                    PostgresStatement("BEGIN"),
                    scene.outbox.row(for: OrderPlaced(orderID: "key-\(number % 10)", number: number)),
                    // Rows of the service itself, which need space.
                    PostgresStatement("INSERT INTO ballast SELECT repeat('x', 7000) FROM generate_series(1, 20)"),
                    PostgresStatement(isCommitted ? "COMMIT" : "ROLLBACK")
                )
                fates.withLock {
                    if isCommitted { $0.committed.insert(number) } else { $0.rolledBack.insert(number) }
                }
            } catch {
                let isRefused = "\(error)".contains(Self.diskFull)
                fates.withLock {
                    if isCommitted && !isRefused { $0.unknown.insert(number) } else { $0.rolledBack.insert(number) }
                    $0.reasons.append("\(error)")
                }
            }
        }
        try await scene.database.client.run(PostgresStatement("CREATE TABLE ballast (text text)"))
        try await scene.database.client.run(
            PostgresStatement("ALTER TABLE ballast ALTER COLUMN text SET STORAGE PLAIN")
        )
        try await scene.run(relay) {
            for number in 0..<60 { await store(number) }
            try await disk.fill()
            var number = 60
            try await eventually("someone is told that the disk is full", within: .seconds(60)) {
                await store(number)
                number += 1
                return fates.withLock { $0.reasons.contains { $0.contains(Self.diskFull) } }
            }
            // A server that cannot write its log ends.
            let session = try scene.database.session()
            try await eventually("the relay tells that the database is unusable", within: .seconds(60)) {
                _ = try? await session.execute(
                    scene.outbox.row(for: OrderPlaced(orderID: "none")),
                    PostgresStatement("SELECT pg_switch_wal()"),
                    PostgresStatement("SELECT 1 / 0")
                )
                return relay.health().reason?.hasPrefix("the database cannot be used") == true
            }
            await session.close()
            await store(number)
            number += 1
            #expect(fates.withLock { $0.reasons.last?.contains("PostgreSQL was not reached in time") } == true)
            try disk.free()
            if (try? await scene.database.integer("SELECT 1")) == nil { try await disk.server.restart() }
            try await eventually("events are stored again", within: .seconds(60)) {
                await store(number)
                number += 1
                return fates.withLock { $0.committed.contains(number - 1) }
            }
            let committed = fates.withLock { $0.committed }
            try await eventually("all arrive", within: .seconds(60)) {
                committed.isSubset(of: scene.arrived.all.map(\.number))
            }
            try await eventually("the relay is ready") { relay.health().status == .ready }
        }
        let (ends, arrived) = (fates.withLock { $0 }, scene.arrived.all)
        #expect(ends.rolledBack.isDisjoint(with: arrived.map(\.number)))
        #expect(ends.committed.union(ends.unknown).isSuperset(of: arrived.map(\.number)))
        for (_, orders) in Dictionary(grouping: arrived, by: \.orderID) {
            var seen: Set<Int> = []
            let numbers = orders.map(\.number).filter { seen.insert($0).inserted }
            #expect(numbers == numbers.sorted())
        }
    }
}
