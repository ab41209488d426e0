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

    @Test("Outcomes of events whose numbers are given again, as after a failover, do not concern the new events")
    func reusedNumbers() async throws {
        let scene = Scene(try await TestPostgres.database())
        let settings = StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        let store = try PostgresOutboxStore(scene.database.client, settings: settings)
        var request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        func orders(_ numbers: ClosedRange<Int>) async throws {
            for number in numbers { try await scene.store(OrderPlaced(orderID: "k\(number)", number: number)) }
        }
        try await orders(1...3)
        let first = try await store.exchange(request)?.taking.runs.flatMap(\.self) ?? []
        #expect(first.map(\.sequence) == [1, 2, 3])
        for event in first { request.settlement.publish(event) }
        // The server that took over has neither the events nor the numbers.
        try await scene.database.client.run(PostgresStatement("TRUNCATE eventbus_outbox RESTART IDENTITY"))
        try await orders(4...6)
        let second = try await store.exchange(request)?.taking.runs.flatMap(\.self) ?? []
        #expect(second.map(\.sequence) == [1, 2, 3])
        #expect(try await scene.database.integer("SELECT count(*) FROM eventbus_outbox") == 3)
        try await store.finish(Settlement())
        await store.close()
    }

    @Test("Of two events that have had one number, each gets its own outcome", arguments: [true, false])
    func outcomesOfOneNumber(isFirstPublished: Bool) async throws {
        let scene = Scene(try await TestPostgres.database())
        let settings = StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        let store = try PostgresOutboxStore(scene.database.client, settings: settings)
        func read(_ request: ExchangeRequest) async throws -> StoredEvent {
            let event = try #require(try await store.exchange(request)?.taking.runs.first?.first)
            #expect(event.sequence == 1)
            return event
        }
        try await scene.store(OrderPlaced(orderID: "a", number: 1))
        let first = try await read(ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10)))
        // The server that took over lacks the event, and gives its number to another one while it is in flight.
        try await scene.database.client.run(PostgresStatement("TRUNCATE eventbus_outbox RESTART IDENTITY"))
        try await scene.store(OrderPlaced(orderID: "b", number: 2))
        let second = try await read(
            ExchangeRequest(settlement: Settlement(), busy: [first.lane], room: Room(events: 10))
        )
        var settlement = Settlement()
        if isFirstPublished {
            settlement.publish(first)
            settlement.delay(second, until: .now() + .seconds(60), error: NeverAgain())
        } else {
            settlement.publish(second)
            settlement.delay(first, until: .now() + .seconds(60), error: NeverAgain())
        }
        try await store.finish(settlement)
        let left = try await scene.database.integer("SELECT count(*) FROM eventbus_outbox WHERE partition_key = 'b'")
        #expect(left == (isFirstPublished ? 1 : 0))
        await store.close()
    }

    @Test("An event that is moved to a table where another one has its number is kept")
    func keepsBothOfOneNumber() async throws {
        let scene = Scene(try await TestPostgres.database())
        let client = scene.database.client
        try await scene.store(OrderPlaced(orderID: "k", number: 1))
        let failure = Failure(reason: .attemptsExhausted, errorType: "T", message: "m")
        let parking = Settlement.ParkedRow(
            place: EventPlace(sequence: 1, eventID: nil),
            failure: failure,
            table: .outbox
        )
        try await client.run(OutboxSQL.park(parking, now: .now()))
        try await client.run(PostgresStatement("ALTER SEQUENCE eventbus_outbox_sequence RESTART"))
        try await scene.store(OrderPlaced(orderID: "k", number: 2))
        try await client.run(OutboxSQL.park(parking, now: .now()))
        #expect(try await scene.outbox.parked().count == 2)
        #expect(try await scene.outbox.replayAll() == 2)
        #expect(try await scene.database.integer("SELECT count(*) FROM eventbus_outbox") == 2)
    }

    @Test("After the server's clock was set back, the relay that publishes goes on, and another one can take over")
    func clockSetBack() async throws {
        let scene = Scene(try await TestPostgres.database())
        let settings = StoreSettings(.init(), maximumDelay: .seconds(100), wallClock: WallClock { .now() })
        let store = try PostgresOutboxStore(scene.database.client, settings: settings)
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        _ = try await store.exchange(request)
        // As if the clock had been an hour ahead when the lease was taken.
        let ahead = PostgresStatement("UPDATE eventbus_outbox_relay SET expires_at = expires_at + 3600000")
        try await scene.database.client.run(ahead)
        let end = try #require(try await store.exchange(request)?.leaseEnd)
        #expect(end <= .now() + settings.leaseDuration)
        try await scene.database.client.run(ahead)
        var others = settings
        others.owner = "other"
        let other = try PostgresOutboxStore(scene.database.client, settings: others)
        #expect(try await other.exchange(request) != nil)
        #expect(try await store.exchange(request) == nil)
        for store in [store, other] { await store.close() }
    }

    @Test("A relay that stands by when its event is confirmed does not make the next one due in the past of the other")
    func confirmsOnStandby() async throws {
        let scene = Scene(try await TestPostgres.database())
        var settings = StoreSettings(
            .init(),
            maximumDelay: .seconds(100),
            wallClock: WallClock { .now() - .seconds(5) }
        )
        settings.owner = "slow"
        let slow = try PostgresOutboxStore(scene.database.client, settings: settings)
        (settings.owner, settings.wallClock) = ("other", WallClock { .now() })
        let other = try PostgresOutboxStore(scene.database.client, settings: settings)
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        for number in 1...2 { try await scene.store(OrderPlaced(orderID: "k", number: number)) }
        let first = try #require(try await slow.exchange(request)?.taking.runs.first?.first)
        try await scene.database.client.run([
            PostgresStatement("UPDATE eventbus_outbox SET due_at = NULL WHERE sequence = 2"),
            PostgresStatement("UPDATE eventbus_outbox_relay SET expires_at = 0"),
        ])
        let busy = ExchangeRequest(settlement: Settlement(), busy: [first.lane], room: Room(events: 10))
        for _ in 0..<2 { #expect(try await other.exchange(busy) != nil) }
        var confirmed = request
        confirmed.settlement.publish(first)
        #expect(try await slow.exchange(confirmed) == nil)
        var next: [Int64] = []
        for _ in 0..<2 { next += try await other.exchange(request)?.taking.runs.flatMap(\.self).map(\.sequence) ?? [] }
        #expect(Set(next) == [2])
        for store in [slow, other] { await store.close() }
    }

    @Test("An event that nothing makes due is found, although another one is due later")
    func findsStranded() async throws {
        let scene = Scene(try await TestPostgres.database())
        let relay = try scene.relay {
            $0.pollInterval = .milliseconds(50)
            $0.measurementInterval = .milliseconds(100)
        }
        let later = try scene.outbox.row(
            for: OrderPlaced(orderID: "later", number: 0),
            options: .init(delay: .seconds(30 * 24 * 3600))
        )
        let stranded = try scene.outbox.row(for: OrderPlaced(orderID: "k", number: 1))
        try await scene.run(relay) {
            try await scene.database.client.run(later)
            try await eventually("it is delayed") { try await scene.outbox.backlog().delayed == 1 }
            try await scene.database.client.run([
                stranded, PostgresStatement("UPDATE eventbus_outbox SET due_at = NULL WHERE partition_key = 'k'"),
            ])
            try await scene.waitForArrivals(1)
        }
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
