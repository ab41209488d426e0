import PostgresDriver
import Testing

@testable import Fleet

/// The small client of the services, against a server.
@Suite("PostgreSQL client", .serialized, .timeLimit(.minutes(2)))
struct PostgresPoolTests {
    /// Returns a pool whose connections have a table `t` of their own.
    private func pool(size: Int = 1, timeout: Duration = .seconds(30)) async throws -> PostgresPool {
        let pool = try PostgresPool(try await TestFleet.postgres(), size: size, timeout: timeout)
        try await pool.write { transaction in
            try transaction.executeScript("CREATE TEMPORARY TABLE IF NOT EXISTS t (id bigint PRIMARY KEY, value text)")
        }
        return pool
    }

    private func count(_ pool: PostgresPool) async throws -> String? {
        try await pool.read { transaction in try transaction.execute("SELECT count(*) AS n FROM t").rows.first?["n"] }
    }

    private struct Refusal: Error {}

    @Test func `a transaction commits when its closure returns and leaves nothing when it throws`() async throws {
        let pool = try await pool()
        try await pool.write { transaction in
            let result = try transaction.execute("INSERT INTO t VALUES ($1, $2)", [.integer(1), "it's \"$2\"; --"])
            #expect(result.affectedCount == 1)
        }
        await #expect(throws: Refusal.self) {
            try await pool.write { transaction in
                try transaction.execute("INSERT INTO t VALUES ($1, $2)", [.integer(2), .null])
                throw Refusal()
            }
        }
        let rows = try await pool.read { transaction in try transaction.execute("SELECT * FROM t").rows }
        #expect(rows.map { $0["value"] } == ["it's \"$2\"; --"])
        #expect(rows.first?["id"] == "1" && rows.first?["missing"] == nil)
        await pool.close()
    }

    @Test func `a savepoint takes back its own changes only`() async throws {
        let pool = try await pool()
        try await pool.write { transaction in
            try transaction.execute("INSERT INTO t VALUES (1, NULL)")
            #expect(throws: PostgresError.self) {
                try transaction.savepoint { try transaction.execute("INSERT INTO t VALUES (2, NULL), (1, NULL)") }
            }
            #expect(throws: Refusal.self) {
                try transaction.savepoint {
                    try transaction.execute("INSERT INTO t VALUES (3, NULL)")
                    throw Refusal()
                }
            }
        }
        #expect(try await count(pool) == "1")
        await pool.close()
    }

    @Test func `a failed statement that its closure ignores does not count as committed`() async throws {
        let pool = try await pool()
        await #expect(throws: PostgresError.self) {
            try await pool.write { transaction in
                try transaction.execute("INSERT INTO t VALUES (1, NULL)")
                _ = try? transaction.execute("INSERT INTO t VALUES (1, NULL)")
            }
        }
        #expect(try await count(pool) == "0")
        await pool.close()
    }

    @Test func `a connection that the server has ended is replaced`() async throws {
        let (pool, other) = (try await pool(), try await pool())
        let id = try await pool.read { transaction in
            try transaction.execute("SELECT pg_backend_pid() AS id").rows.first?["id"]
        }
        let process = try #require(id)
        _ = try await other.read { transaction in
            try transaction.execute("SELECT pg_terminate_backend($1::integer, 10000)", [.text(process)])
        }
        let next = try await pool.read { transaction in
            try transaction.execute("SELECT pg_backend_pid() AS id").rows.first?["id"]
        }
        #expect(next != nil && next != id)
        await pool.close()
        await other.close()
    }

    @Test func `a statement without an answer in time ends with its connection`() async throws {
        let pool = try PostgresPool(try await TestFleet.postgres(), size: 1, timeout: .milliseconds(300))
        let error = await #expect(throws: PostgresError.self) {
            try await pool.write { transaction in _ = try transaction.execute("SELECT pg_sleep(60)") }
        }
        #expect(error?.isTemporary == true)
        await pool.close()
    }

    @Test func `transactions beyond the number of connections wait for their turn`() async throws {
        let pool = try await pool(size: 2)
        let processes = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await pool.read { transaction in
                        try transaction.execute("SELECT pg_backend_pid() AS id").rows.first?["id"]
                    }
                }
            }
            var processes: Set<String?> = []
            for try await process in group { processes.insert(process) }
            return processes
        }
        #expect((1...2).contains(processes.count))
        await pool.close()
        await #expect(throws: PostgresError.self) { try await pool.read { _ in } }
    }

    @Test func `a text with U+0000 is refused`() async throws {
        let pool = try await pool()
        let error = await #expect(throws: PostgresError.self) {
            try await pool.write { transaction in _ = try transaction.execute("SELECT $1::text", ["a\u{0}b"]) }
        }
        #expect(error?.isTemporary == false)
        await pool.close()
    }

    @Test func `errors name the cause and the address and never the password`() async throws {
        let unreachable = try PostgresPool("postgres://shop:secret@127.0.0.1:1/orders")
        let refused = await #expect(throws: PostgresError.self) { try await unreachable.read { _ in } }
        let text = try #require(refused).description
        #expect(text.contains("127.0.0.1") && text.contains("refused") && !text.contains("secret"), "\(text)")
        #expect(refused?.isTemporary == true)
        for string in ["postgres://shop:secret@[::1/orders", "password=secret port", "host=a secret=b"] {
            let error = #expect(throws: PostgresError.self) { try PostgresPool(string) }
            #expect(error?.description.contains("secret") == false && error?.isTemporary == false)
        }
    }
}
