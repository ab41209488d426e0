import EventBus
import EventBusTesting
import Foundation
import Testing

@testable import EventBusOutbox
@testable import EventBusPostgres

@Suite("The relay from PostgreSQL, in trouble", .timeLimit(.minutes(3)))
struct FaultTests {
    /// Stores an order, again if the server did not say whether it has.
    private static func store(_ number: Int, _ scene: Scene) async throws {
        let order = OrderPlaced(orderID: "key-\(number % 10)", number: number)
        // One statement, so that storing it twice is one event with one identity.
        let row = try scene.outbox.row(for: order)
        try await eventually("order \(number) should be stored", within: .seconds(60)) {
            (try? await scene.database.client.run(row)) != nil
        }
    }

    /// Returns the numbers of the orders of each key by their first arrival.
    private static func firstArrivals(_ scene: Scene) -> [String: [Int]] {
        var numbers: [String: [Int]] = [:]
        for order in scene.arrived.all where numbers[order.orderID]?.contains(order.number) != true {
            numbers[order.orderID, default: []].append(order.number)
        }
        return numbers
    }

    @Test("Nothing is lost and every key keeps its order while the server is killed and started again")
    func killedServer() async throws {
        let server = try await TestPostgres.start()
        let scene = Scene(try await server.database())
        let relay = try scene.relay { $0.leaseDuration = .seconds(1) }
        try await scene.run(relay) {
            for number in 0..<300 {
                try await Self.store(number, scene)
                if number % 100 == 50 {
                    try server.kill()
                    try await server.restart()
                }
            }
            try await eventually("all arrive", within: .seconds(120)) {
                Set(scene.arrived.all.map(\.number)).count == 300
            }
            try await eventually("the relay is ready") { relay.health().status == .ready }
        }
        for numbers in Self.firstArrivals(scene).values { #expect(numbers == numbers.sorted()) }
        await server.stop()
    }

    @Test(
        "After a failover to a standby that was promoted, nothing is lost and every key keeps its order",
        .enabled(if: ProcessInfo.processInfo.environment["EVENTBUS_TEST_FULL"] == "1")
    )
    func failover() async throws {
        let server = try await TestPostgres.start()
        let primary = try await server.database()
        let standby = try await server.addStandby()
        let parts = try #require(primary.url.wholeMatch(of: /(.*):([0-9]+)\/(.*)/))
        let url = "\(parts.1):\(parts.2),127.0.0.1:\(standby)/\(parts.3)?target_session_attrs=read-write"
        let scene = Scene(try await TestDatabase(url: url))
        let relay = try scene.relay { $0.leaseDuration = .seconds(1) }
        try await scene.run(relay) {
            for number in 0..<300 {
                if number == 150 {
                    try server.kill()
                    try await server.promoteStandby()
                }
                try await Self.store(number, scene)
            }
            try await eventually("all arrive", within: .seconds(120)) {
                Set(scene.arrived.all.map(\.number)).count == 300
            }
            try await eventually("the relay is ready") { relay.health().status == .ready }
        }
        for numbers in Self.firstArrivals(scene).values { #expect(numbers == numbers.sorted()) }
        await server.stop()
    }

    @Test("Nothing is lost while every connection is cut again and again, and whoever waits is told why")
    func cutConnections() async throws {
        let scene = Scene(try await TestPostgres.database())
        let killer = try PostgresClient(
            PostgresConfiguration(try await TestPostgres.database().url),
            logger: .quiet
        )
        let name = scene.database.url.split(separator: "/").last.map(String.init) ?? ""
        let cut = PostgresStatement(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ?::text",
            [.text(name)]
        )
        try await scene.run(scene.relay { $0.pollInterval = .milliseconds(100) }) {
            for number in 0..<300 {
                try await Self.store(number, scene)
                if number % 20 == 10 { try await killer.run(cut) }
            }
            try await eventually("all arrive", within: .seconds(120)) {
                Set(scene.arrived.all.map(\.number)).count == 300
            }
        }
        for numbers in Self.firstArrivals(scene).values { #expect(numbers == numbers.sorted()) }
        await killer.close()
    }

    @Test("While the server is down, health names the reason, and the relay goes on when it is back")
    func namesReason() async throws {
        let server = try await TestPostgres.start()
        let scene = Scene(try await server.database())
        let relay = try scene.relay { $0.pollInterval = .milliseconds(50) }
        try await scene.run(relay) {
            try await scene.store(OrderPlaced(orderID: "k", number: 1))
            try await scene.waitForArrivals(1)
            try server.kill()
            try await eventually("health tells") {
                relay.health().reason?.contains("the database cannot be used") == true
            }
            try await server.restart()
            try await Self.store(2, scene)
            try await scene.waitForArrivals(2)
            try await eventually("the relay is ready") { relay.health().status == .ready }
        }
        await server.stop()
    }

    @Test("The event of a transaction that stays open while nothing else happens is published when it is committed")
    func loneTransaction() async throws {
        let scene = Scene(try await TestPostgres.database())
        let idle = try scene.database.session()
        let store = try PostgresOutboxStore(
            scene.database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        )
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        _ = try await store.exchange(request)
        try await idle.execute("BEGIN")
        _ = try await idle.execute(scene.outbox.row(for: OrderPlaced(orderID: "k", number: 1)))
        for _ in 0..<5 {
            let events = try await store.exchange(request)?.taking.runs.flatMap(\.self)
            #expect(events?.isEmpty == true)
        }
        #expect(store.floor <= 1)
        try await idle.execute("COMMIT")
        let committed = try await store.exchange(request)?.taking.runs.flatMap(\.self)
        #expect(committed?.map(\.sequence) == [1])
        try await store.finish(Settlement())
        await idle.close()
    }

    @Test("A relay is notified of what others store, and not of its own transactions, so that it rests when idle")
    func notifiesOfOthersOnly() async throws {
        let scene = Scene(try await TestPostgres.database())
        let notifications = Locked(0)
        let listener = try PostgresConnection(
            PostgresConfiguration(scene.database.url),
            logger: .quiet,
            channel: "eventbus_outbox",
            onNotification: { notifications.withLock { $0 += 1 } }
        )
        await listener.listen()
        try await eventually("it listens") {
            try await listener.run([PostgresStatement("SELECT count(*) FROM pg_listening_channels()")]).results[0]
                .integer(0, 0) == 1
        }
        let before = notifications.withLock { $0 }
        let store = try PostgresOutboxStore(
            scene.database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        )
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        for _ in 0..<5 { _ = try await store.exchange(request) }
        // Notifications arrive in the order of the commits.
        try await scene.store(OrderPlaced(orderID: "k", number: 1))
        try await eventually("it is notified") { notifications.withLock { $0 } > before }
        #expect(notifications.withLock { $0 } == before + 1)
        try await store.finish(Settlement())
        await listener.close()
    }

    @Test("An idle transaction delays no event of others, and no number is passed over until it ends")
    func idleTransaction() async throws {
        let scene = Scene(try await TestPostgres.database())
        let idle = try scene.database.session()
        try await idle.execute("BEGIN")
        _ = try await idle.execute(scene.outbox.row(for: OrderPlaced(orderID: "k", number: 0)))
        let store = try PostgresOutboxStore(
            scene.database.client,
            settings: StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        )
        var settlement = Settlement()
        for number in 1...10 {
            try await scene.store(OrderPlaced(orderID: "k", number: number))
            let answer = try await store.exchange(
                ExchangeRequest(settlement: settlement, busy: [], room: Room(events: 10))
            )
            let events = try #require(answer).taking.runs.flatMap(\.self)
            #expect(events.count == 1)
            settlement = Settlement()
            for event in events { settlement.publish(event) }
        }
        #expect(store.floor <= 1)
        try await idle.execute("COMMIT")
        let late = try await store.exchange(
            ExchangeRequest(settlement: settlement, busy: [], room: Room(events: 10))
        )
        #expect(late?.taking.runs.first?.first?.sequence == 1)
        settlement = Settlement()
        for event in late?.taking.runs.flatMap(\.self) ?? [] { settlement.publish(event) }
        for _ in 0..<3 {
            _ = try await store.exchange(ExchangeRequest(settlement: settlement, busy: [], room: Room(events: 10)))
            settlement = Settlement()
        }
        #expect(store.floor == 12)
        try await store.finish(Settlement())
        await idle.close()
    }
}
