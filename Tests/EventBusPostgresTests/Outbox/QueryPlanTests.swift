import EventBus
import EventBusOutbox
import Testing

@testable import EventBusPostgres

@Suite("The query plans of the outbox and the inbox in PostgreSQL", .timeLimit(.minutes(2)))
struct QueryPlanTests {
    /// The statistics by which the server plans.
    enum Statistics: CaseIterable {
        /// Those of the present rows.
        case current
        /// Those of a table that was empty, as an outbox is most of the time.
        case ofEmptyTable
        /// Those of many events of one key and one topic.
        case ofOtherEvents
        /// Those of a table whose rows were deleted, while its file is as long as before.
        case ofDeletedEvents
        /// Those of rows that a relay has changed since: nearly all wait behind others of their keys.
        case ofUnseenEvents
        case none
    }

    @Test(
        "No statement of an exchange reads or sorts a whole table, however many events wait",
        arguments: Statistics.allCases
    )
    func usesIndexes(_ statistics: Statistics) async throws {
        let scene = Scene(try await TestPostgres.database())
        for table in ["eventbus_outbox", "eventbus_outbox_unrouted"] {
            try await scene.database.client.run(
                PostgresStatement("ALTER TABLE \(table) SET (autovacuum_enabled = off)")
            )
        }
        let now = EventTime.now()
        func fill(topic: String, key: String) async throws {
            for table in ["eventbus_outbox", "eventbus_outbox_unrouted"] {
                try await scene.database.client.run(
                    PostgresStatement(
                        """
                        INSERT INTO \(table) (sequence, event_id, topic, partition_key, content_type, version, time,
                            payload, stored_at, requires_subscriber)
                        SELECT number, number, \(topic), \(key), 'text/plain', 1, 0, '', 0, false
                        FROM generate_series(1, 20000) AS number
                        """
                    )
                )
            }
        }
        switch statistics {
        case .current, .none, .ofUnseenEvents: break
        case .ofEmptyTable: try await scene.database.client.run(PostgresStatement("ANALYZE"))
        case .ofOtherEvents:
            try await fill(topic: "'other'", key: "'other'")
            try await scene.database.client.run(PostgresStatement("ANALYZE"))
        case .ofDeletedEvents:
            try await fill(topic: "'other'", key: "'other'")
            let session = try scene.database.session()
            for table in ["eventbus_outbox", "eventbus_outbox_unrouted"] {
                // A row at the end of the file keeps it from being shortened.
                try await scene.database.client.run(PostgresStatement("DELETE FROM \(table) WHERE sequence < 20000"))
                try await session.execute("VACUUM (ANALYZE) \(table)")
            }
        }
        try await scene.database.client.run(PostgresStatement("DELETE FROM eventbus_outbox"))
        try await scene.database.client.run(PostgresStatement("DELETE FROM eventbus_outbox_unrouted"))
        try await fill(topic: "'t' || number / 2000", key: "number / 20")
        try await scene.database.client.run(
            PostgresStatement(
                """
                INSERT INTO eventbus_outbox_topic (topic, tries, next_at)
                SELECT DISTINCT topic, 1, 1 FROM eventbus_outbox_unrouted
                """
            )
        )
        try await scene.database.client.run(PostgresStatement("SELECT setval('eventbus_outbox_sequence', 20000)"))
        if statistics == .current || statistics == .ofUnseenEvents {
            try await scene.database.client.run(PostgresStatement("ANALYZE"))
        }
        if statistics == .ofUnseenEvents {
            try await scene.database.client.run(
                PostgresStatement("UPDATE eventbus_outbox SET due_at = NULL WHERE sequence BETWEEN 2 AND 19999")
            )
            let end = now + .seconds(60)
            try await scene.database.client.run(
                PostgresStatement(
                    "UPDATE eventbus_outbox SET due_at = ?::bigint, holds = 1 WHERE sequence % 100 = 99",
                    [.integer(end.milliseconds)]
                )
            )
        }
        let window = OutboxSQL.Window(kind: .stored(from: 0), size: 500)
        let due = OutboxSQL.Window(kind: .due(from: 0, to: now), size: 500)
        let place = EventPlace(sequence: 1, eventID: "a")
        let statements =
            [
                OutboxSQL.heads(window, excluding: [.key(ExactText("1")), .single(7)], limit: 100, bytes: 1000),
                OutboxSQL.heads(due, excluding: [], limit: 100, bytes: 1000),
                OutboxSQL.followers(of: [("998", 19_961), ("999", 19_981)], depth: 10, bytes: 1000),
                OutboxSQL.demote(window), OutboxSQL.demote(due),
                OutboxSQL.delete([place, place], from: .outbox),
                OutboxSQL.advance(["998", "999"], now: now), OutboxSQL.delay(place, until: now),
                OutboxSQL.move(place, from: .outbox, to: .unrouted), OutboxSQL.returnDelayed(now: now),
                OutboxSQL.returnUnrouted("t9", now: now), OutboxSQL.probe(of: "t9"), OutboxSQL.forget("t9"),
                OutboxSQL.topics, OutboxSQL.setAttempts(1, of: place), OutboxSQL.parked(limit: 10),
                OutboxSQL.releaseHeld(now: now), OutboxSQL.release(3, of: "t9", now: now),
                OutboxSQL.firstDue(from: 0), OutboxSQL.nextTimes(now: now), OutboxSQL.tries(of: ["t1"]),
                OutboxSQL.dueTopics(now: now), OutboxSQL.takeLease("me", milliseconds: 1),
                OutboxSQL.repairStranded(after: 0, now: now), OutboxSQL.repairTopics,
            ] + OutboxSQL.repairValues(now: now, latest: now) + OutboxSQL.floorState(above: 1).suffix(1)
            + OutboxSQL.replay(1) + OutboxSQL.lockLease("me").suffix(1)
        for statement in statements {
            let plan = try await Self.plan(statement, scene.database)
            #expect(!plan.contains("Seq Scan"), "\(statement.sql)\n\(plan)")
            #expect(Self.mostRows(plan) <= 5000, "\(statement.sql)\n\(plan)")
        }
        // Every count ends at a limit, and reads only an index.
        let plan = try await Self.plan(OutboxSQL.backlog, scene.database)
        #expect(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "\(plan)")
        #expect(plan.matches(of: /Aggregate[^\n]*\n *-> *Limit[^\n]*\n *-> *Index Only Scan/).count == 4, "\(plan)")
    }

    @Test(
        "No statement of the inbox reads a whole table, however many events are recorded",
        arguments: [Statistics.current, .ofEmptyTable, .none]
    )
    func usesIndexesOfInbox(_ statistics: Statistics) async throws {
        let database = try await TestPostgres.database()
        try await database.client.run(PostgresStatement("ALTER TABLE eventbus_inbox SET (autovacuum_enabled = off)"))
        if statistics == .ofEmptyTable { try await database.client.run(PostgresStatement("ANALYZE")) }
        try await database.client.run(
            PostgresStatement(
                """
                INSERT INTO eventbus_inbox (subscription, event_id, topic, is_completed, ends_at, lease)
                SELECT 'g.h', number::text::bytea, 't', true, 4000000000000, 0
                FROM generate_series(1, 20000) AS number
                """
            )
        )
        if statistics == .current { try await database.client.run(PostgresStatement("ANALYZE")) }
        let key = InboxKey(topic: "t", eventID: EventID("7"), subscription: "g.h")
        let claim = InboxClaim(key: key, fence: 7)
        let statements = [
            InboxSQL.begin(key, lease: 1, token: 1, isRepeated: true), InboxSQL.withdraw(key, token: 1),
            InboxSQL.state(key), InboxSQL.renew(claim, lease: 1),
            InboxSQL.complete(claim, retention: 1), InboxSQL.abandon(claim), InboxSQL.record(key, retention: 1),
            InboxSQL.forget,
        ]
        for statement in statements {
            let plan = try await Self.plan(statement, database)
            #expect(!plan.contains("Seq Scan"), "\(statement.sql)\n\(plan)")
            #expect(Self.mostRows(plan) <= 100, "\(statement.sql)\n\(plan)")
        }
    }

    /// Returns the largest number of rows that a step of a plan has returned or has left out, in all its executions.
    private static func mostRows(_ plan: String) -> Int {
        var (most, loops) = (0, 1)
        for line in plan.split(separator: "\n") {
            if let step = line.firstMatch(of: /rows=(\d+) loops=(\d+)/) {
                loops = Int(step.2) ?? 1
                most = max(most, (Int(step.1) ?? 0) * loops)
            } else if let removed = line.firstMatch(of: /Rows Removed by [^:]*: (\d+)/) {
                most = max(most, (Int(removed.1) ?? 0) * loops)
            }
        }
        return most
    }

    private static func plan(_ statement: PostgresStatement, _ database: TestDatabase) async throws -> String {
        let plan = try await database.client.run(statement.explained)
        return try (0..<plan.count).map { try plan.text($0, 0) }.joined(separator: "\n")
    }
}
