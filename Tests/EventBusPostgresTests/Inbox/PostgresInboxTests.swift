import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The inbox in PostgreSQL", .timeLimit(.minutes(2)))
struct PostgresInboxTests {
    private static let shared = Task { try await TestPostgres.database() }

    @Test(
        "It follows the contract of inboxes",
        arguments: InboxConformance { PostgresInbox(try await shared.value.client) }.checks
    )
    func conforms(_ check: ConformanceCheck) async throws {
        try await check.run()
    }

    @Test("One statement in the transaction of the effect tells whether the event is new, and rolls back with it")
    func oneStatement() async throws {
        let database = try await TestPostgres.database()
        let inbox = PostgresInbox(database.client)
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        let session = try database.session()
        for (end, expected) in [("ROLLBACK", 1), ("COMMIT", 1), ("COMMIT", 0)] {
            try await session.execute("BEGIN")
            #expect(try await session.execute(inbox.row(for: key))[0].affectedCount == expected)
            try await session.execute(end)
        }
        #expect(try await inbox.begin(key, lease: .seconds(1)) == .completed)
        await session.close()
    }

    @Test("Of two transactions that handle one event at the same time, one is told that it is new")
    func oneOfTwo() async throws {
        let database = try await TestPostgres.database()
        let inbox = PostgresInbox(database.client)
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        let (one, other) = (try database.session(), try database.session())
        try await one.execute("BEGIN")
        #expect(try await one.execute(inbox.row(for: key))[0].affectedCount == 1)
        let waiting = Task { try await other.execute(inbox.row(for: key))[0].affectedCount }
        try await one.execute("COMMIT")
        #expect(try await waiting.value == 0)
        for session in [one, other] { await session.close() }
    }

    @Test("A claim of the bus can be completed by the statement in the transaction, and then by the bus")
    func completesClaim() async throws {
        let database = try await TestPostgres.database()
        let inbox = PostgresInbox(database.client)
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(60)) else {
            Issue.record("not new")
            return
        }
        #expect(try await database.client.run(inbox.row(for: key)).affectedCount == 1)
        try await inbox.complete(claim, retention: .seconds(60))
        #expect(try await inbox.begin(key, lease: .seconds(1)) == .completed)
    }

    @Test("Expired records are deleted while others are written")
    func forgets() async throws {
        let database = try await TestPostgres.database()
        let inbox = PostgresInbox(database.client)
        try await database.client.run(
            PostgresStatement(
                """
                INSERT INTO eventbus_inbox (subscription, event_id, topic, is_completed, ends_at, lease)
                SELECT 'g.h', number::text::bytea, 't', true, 1, 0 FROM generate_series(1, 100) AS number
                """
            )
        )
        for _ in 0..<5 {
            _ = try await inbox.begin(
                InboxKey(topic: "t", eventID: EventID(), subscription: "g.h"),
                lease: .seconds(60)
            )
        }
        #expect(try await database.integer("SELECT count(*) FROM eventbus_inbox") == 5)
    }

    @Test("A key with U+0000 is refused with an error")
    func refusesZero() async throws {
        let inbox = PostgresInbox(try await Self.shared.value.client)
        let key = InboxKey(topic: "t", eventID: EventID(), subscription: "g.h\u{0}")
        let error = await #expect(throws: EventBusError.self) { try await inbox.begin(key, lease: .seconds(1)) }
        #expect(error?.code == .invalidEnvelope)
    }
}
