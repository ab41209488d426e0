import EventBus
import EventBusOutbox
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The relay from PostgreSQL over a slow connection", .timeLimit(.minutes(3)))
struct SlowConnectionTests {
    private static func store(
        _ scene: Scene,
        wallClock: WallClock = WallClock { .now() }
    ) throws -> PostgresOutboxStore {
        try PostgresOutboxStore(
            scene.database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: wallClock)
        )
    }

    @Test("Events are published that take several times as long to arrive as a statement may take")
    func arrives() async throws {
        let scene = Scene(try await TestPostgres.database())
        let (proxy, configuration) = try scene.database.slowProxy(
            bytesPerSecond: 1 << 20,
            commandTimeout: .seconds(1)
        )
        // One event of 4 MiB, and others of 1 MiB.
        let insert = """
            INSERT INTO eventbus_outbox (event_id, topic, partition_key, content_type, version, time, payload, stored_at,
                requires_subscriber)
            SELECT 'e' || number, 'order.placed', 'k' || number, 'application/json', 1, 0, convert_to(
                '{"orderID":"k' || number || '","number":' || number || ',"text":"'
                    || repeat('x', CASE number WHEN 3 THEN 4 ELSE 1 END * 1048576) || '"}', 'UTF8'
            ), 0, false
            FROM generate_series(1, 6) AS number
            """
        try await run("psql", [scene.database.url, "-qc", insert])
        let client = try PostgresClient(configuration, logger: .quiet)
        let relay = try OutboxRelay(client, bus: scene.bus, logger: .quiet)
        try await scene.run(relay) {
            try await scene.waitForArrivals(6)
        }
        #expect(scene.arrived.all.map(\.number).sorted() == Array(1...6))
        await client.close()
        withExtendedLifetime(proxy) {}
    }

    @Test("Events beyond the size of one read are read by the next one, which does not wait for a new event")
    func readsOn() async throws {
        let scene = Scene(try await TestPostgres.database())
        for number in 1...3 { try await scene.store(OrderPlaced(orderID: "k\(number)", number: number)) }
        let store = try Self.store(scene)
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10, bytes: 1))
        let taking = try #require(try await store.exchange(request)).taking
        #expect(taking.count == 1)
        #expect(taking.isCut)
        await store.close()
    }

    @Test("An exchange that takes most of the lease renews it at its end")
    func renewsLease() async throws {
        let scene = Scene(try await TestPostgres.database())
        let start = EventTime.now()
        let calls = Locked(0)
        let wallClock = WallClock {
            calls.withLock { calls in
                calls += 1
                return start + .seconds(8) * (calls - 1)
            }
        }
        let store = try Self.store(scene, wallClock: wallClock)
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        let answer = try #require(try await store.exchange(request))
        #expect(answer.leaseEnd == start + .seconds(18))
        await store.close()
    }

    @Test("A read that took too long is followed by smaller ones, down to one event, and the size grows again")
    func adapts() {
        var size = ReadingSize(target: .seconds(1))
        size.noteRead(ReadingSize.maximum, within: .seconds(2))
        #expect(size.bytes == ReadingSize.maximum / 2)
        size.noteRead(100, within: .seconds(100))
        #expect(size.bytes == ReadingSize.maximum / 2)
        for _ in 0..<100 { size.noteFailure() }
        #expect(size.bytes == 1)
        for _ in 0..<100 { size.noteRead(size.bytes, within: .milliseconds(10)) }
        #expect(size.bytes == ReadingSize.maximum)
        size.noteRead(1 << 30, within: .seconds(1000))
        #expect(size.bytes == ReadingSize.maximum / 4)
    }
}
