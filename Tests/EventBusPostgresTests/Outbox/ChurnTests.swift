import EventBus
import EventBusTesting
import Foundation
import Testing

@testable import EventBusOutbox
@testable import EventBusPostgres

/// Many events that are stored, published and deleted, with EVENTBUS_TEST_FULL=1. EVENTBUS_TEST_CHURN sets their number.
@Suite("The outbox in PostgreSQL after many events", .timeLimit(.minutes(600)))
struct ChurnTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let count = environment["EVENTBUS_TEST_CHURN"].flatMap { Int($0) } ?? 1_000_000
    private static let rounds = 20

    @Test(
        "Publishing becomes no slower and the tables grow no larger, however many events have been deleted",
        .enabled(if: environment["EVENTBUS_TEST_FULL"] == "1")
    )
    func keepsSpeed() async throws {
        let database = try await TestPostgres.database()
        let store = try PostgresOutboxStore(
            database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        )
        let size = Self.count / Self.rounds
        var (rates, sizes): ([Double], [Int64]) = ([], [])
        for round in 0..<Self.rounds {
            let numbers = (round * size)..<((round + 1) * size)
            let start = ContinuousClock.now
            async let stored: Void = Self.fill(numbers, in: database)
            try await Self.publish(size, from: store)
            try await stored
            rates.append(Double(size) / (start.duration(to: .now) / .seconds(1)))
            sizes.append(try await database.integer("SELECT pg_total_relation_size('eventbus_outbox')"))
            print("round \(round): \(Int(rates[round])) events a second, \(sizes[round] >> 10) KiB")
        }
        let half = Self.rounds / 2
        let (early, late) = (rates.prefix(half).sorted()[half / 2], rates.suffix(half).sorted()[half / 2])
        #expect(late > early * 0.8, "\(rates)")
        // Deleted rows are vacuumed once a minute, so the table keeps the size that it reaches in the first minutes.
        #expect(sizes.suffix(half).max() ?? 0 <= (sizes.prefix(half).max() ?? 0) * 5 / 4, "\(sizes)")
        try await store.finish(Settlement())
        await store.close()
    }

    /// Stores events in many transactions, as services do.
    private static func fill(_ numbers: Range<Int>, in database: TestDatabase) async throws {
        let transactions = stride(from: numbers.lowerBound, to: numbers.upperBound, by: 100).map { first in
            """
            INSERT INTO eventbus_outbox (event_id, topic, partition_key, content_type, version, time, payload,
                stored_at, requires_subscriber)
            SELECT gen_random_uuid(), 'order.placed', number % 1000, 'application/json', 1, 0, repeat('x', 300)::bytea,
                0, false
            FROM generate_series(\(first), \(min(first + 100, numbers.upperBound) - 1)) AS number;
            """
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "eventbus-churn-\(UUID().uuidString).sql")
        defer { try? FileManager.default.removeItem(at: file) }
        try transactions.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
        try await run("psql", [database.url, "-q", "-v", "ON_ERROR_STOP=1", "-f", file.path])
    }

    /// Takes events out of the outbox until so many are published, as a relay with a broker that confirms everything.
    private static func publish(_ count: Int, from store: PostgresOutboxStore) async throws {
        var request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 1500))
        var left = count
        while left > 0 || !request.settlement.isEmpty {
            let answer = try #require(try await store.exchange(request))
            request.settlement = Settlement()
            for event in answer.taking.runs.joined() { request.settlement.publish(event) }
            left -= request.settlement.count
        }
    }
}
