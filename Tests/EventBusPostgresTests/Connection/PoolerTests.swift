import EventBus
import EventBusOutbox
import EventBusTesting
import Foundation
import Testing

@testable import EventBusPostgres

@Suite(
    "Outbox and inbox behind a pooler in transaction mode",
    .timeLimit(.minutes(2)),
    .enabled(if: FileManager.default.fileExists(atPath: TestPooler.program), "PgBouncer is not installed")
)
struct PoolerTests {
    private static let settings = PostgresStatement(
        """
        SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation'),
            current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),
            current_setting('transaction_read_only'), pg_backend_pid()::bigint
        """
    )

    @Test("Every transaction has the settings that it depends on, and other clients of the pool get none of them")
    func settings() async throws {
        let database = try await TestPostgres.database()
        let name = try #require(database.url.split(separator: "/").last)
        for setting in [
            "synchronous_commit = off", "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
        ] {
            try await database.client.run(PostgresStatement("ALTER DATABASE \(name) SET \(setting)"))
        }
        let pooler = try await TestPooler(of: database.url)
        let configuration = try PostgresConfiguration(try pooler.url(of: database.url))
        let connection = try PostgresConnection(configuration, logger: .quiet)
        let others = try (0..<2).map { _ in
            TestSession(try PostgresConnection(configuration, logger: .quiet, hasSettings: false))
        }
        let expected = ["on", "read committed", "5s", "5s", "off"]
        var backends: Set<Int64> = []
        for other in others {
            let first = try await connection.run([Self.settings])
            // Holds one session of the server, so that the next transaction has the other one.
            try await other.execute("BEGIN")
            let second = try await connection.run([Self.settings])
            let opening = try await connection.run([Self.settings], isFirst: true)
            _ = try await connection.run([PostgresStatement("COMMIT")], in: opening.session)
            for row in [first, second, opening].map({ $0.results[0] }) {
                #expect(try (0..<5).map { try row.text(0, $0) } == expected)
                backends.insert(try row.integer(0, 5))
            }
            try await other.execute("COMMIT")
        }
        #expect(backends.count == 2)
        for other in others {
            let row = try await other.execute(Self.settings)[0]
            #expect(try (0..<5).map { try row.text(0, $0) } == ["off", "serializable", "0", "0", "on"])
        }
        await connection.close()
        for other in others { await other.close() }
        pooler.stop()
    }

    @Test("A relay publishes, and an inbox records")
    func works() async throws {
        let database = try await TestPostgres.database()
        let pooler = try await TestPooler(of: database.url)
        let scene = Scene(try await TestDatabase(url: try pooler.url(of: database.url)))
        try await scene.run(scene.relay { $0.pollInterval = .milliseconds(50) }) {
            for number in 0..<20 { try await scene.store(OrderPlaced(orderID: "k\(number % 3)", number: number)) }
            try await scene.waitForArrivals(20)
        }
        let inbox = PostgresInbox(scene.database.client)
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(60)) else {
            Issue.record("not new")
            return
        }
        try await inbox.renew(claim, lease: .seconds(60))
        try await inbox.complete(claim, retention: .seconds(60))
        #expect(try await inbox.begin(key, lease: .seconds(60)) == .completed)
        await scene.database.client.close()
        pooler.stop()
    }
}
