import EventBus
import EventBusOutbox
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The outbox in PostgreSQL with a large backlog", .timeLimit(.minutes(2)))
struct LargeBacklogTests {
    /// Stores events with the numbers of a range, without the time limit of the client.
    private static func fill(
        _ table: String,
        _ numbers: ClosedRange<Int>,
        key: String,
        dueAt: String = "",
        in database: TestDatabase
    ) async throws {
        let (column, value) = dueAt.isEmpty ? ("", "") : (", due_at", ", \(dueAt)")
        try await run(
            "psql",
            [
                database.url, "-qc",
                """
                INSERT INTO \(table) (sequence, event_id, topic, partition_key, content_type, version, time, payload,
                    stored_at, requires_subscriber\(column))
                SELECT number, 'e' || number, 'order.placed', '\(key)', 'text/plain', 1, 0, '', 1, false\(value)
                FROM generate_series(\(numbers.lowerBound), \(numbers.upperBound)) AS number
                """,
            ]
        )
    }

    private static func store(_ database: TestDatabase) throws -> PostgresOutboxStore {
        try PostgresOutboxStore(
            database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        )
    }

    @Test("It is counted up to a limit, and says so in the backlog and in health")
    func isLowerBound() async throws {
        let scene = Scene(try await TestPostgres.database(), hasSubscriber: false)
        let (database, limit) = (scene.database, OutboxSQL.countLimit)
        try await Self.fill("eventbus_outbox_unrouted", 1...limit, key: "k", in: database)
        #expect(try await scene.outbox.backlog().isLowerBound == false)
        try await Self.fill("eventbus_outbox_unrouted", (limit + 1)...(limit + 1000), key: "k", in: database)
        let backlog = try await scene.outbox.backlog()
        #expect(backlog.isLowerBound)
        #expect(backlog.count == limit)
        #expect(backlog.withoutSubscriber == limit)
        #expect(backlog.oldestAge.map { $0 > .seconds(1_000_000) } == true)
        let relay = try scene.relay()
        try await scene.run(relay) {
            try await eventually("health tells") { relay.health().details["counts_are_lower_bounds"] == 1 }
            #expect(relay.health().details["backlog"] == limit)
        }
    }

    @Test("Events that nothing makes due are found behind many of one key, a limited number of rows at a time")
    func repairs() async throws {
        let database = try await TestPostgres.database()
        let later = "extract(epoch FROM now() + interval '1 minute') * 1000"
        try await Self.fill("eventbus_outbox", 1...1, key: "hot", dueAt: later, in: database)
        try await Self.fill("eventbus_outbox", 2...150_000, key: "hot", dueAt: "NULL", in: database)
        try await Self.fill("eventbus_outbox", 150_001...150_003, key: "stranded", dueAt: "NULL", in: database)
        let store = try Self.store(database)
        var request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10), isStranded: true)
        var found: [Int64] = []
        var exchanges = 0
        while found.isEmpty, exchanges < 100 {
            let taking = try #require(try await store.exchange(request)).taking
            found = taking.runs.flatMap(\.self).map(\.sequence)
            #expect(taking.isCut || !found.isEmpty, "it stopped after \(exchanges) exchanges")
            request.isStranded = false
            exchanges += 1
        }
        #expect(found == [150_001, 150_002, 150_003])
        #expect(exchanges >= 150_000 / OutboxSQL.repairing)
        await store.close()
    }
}
