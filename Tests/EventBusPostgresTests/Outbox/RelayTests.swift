import EventBus
import EventBusInMemory
import EventBusOutbox
import EventBusOutboxTesting
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The relay from PostgreSQL", .timeLimit(.minutes(2)))
struct RelayTests {
    @Test("A commit wakes the relay, and a rollback publishes nothing")
    func wokenByCommit() async throws {
        let scene = Scene(try await TestPostgres.database())
        let session = try scene.database.session()
        try await scene.run {
            for number in 1...20 {
                try await session.execute("BEGIN")
                _ = try await session.execute(scene.outbox.row(for: OrderPlaced(orderID: "k", number: number)))
                try await session.execute(number.isMultiple(of: 2) ? "ROLLBACK" : "COMMIT")
            }
            try await scene.waitForArrivals(10)
        }
        #expect(scene.arrived.all.map(\.number) == Array(stride(from: 1, to: 20, by: 2)))
        #expect(try await scene.outbox.backlog() == OutboxBacklog(count: 0, oldestAge: nil, parked: 0))
        await session.close()
    }

    @Test("Events of one key arrive in the order in which they were stored", arguments: [7, 500])
    func keepsOrder(batchSize: Int) async throws {
        let scene = Scene(try await TestPostgres.database())
        for part in 0..<10 {
            var rows: [PostgresStatement] = []
            for number in 0..<60 {
                rows.append(try scene.outbox.row(for: OrderPlaced(orderID: "hot", number: part * 60 + number)))
                let other = OrderPlaced(orderID: "key-\(number % 20)", number: part * 60 + number)
                rows.append(try scene.outbox.row(for: other))
            }
            _ = try await scene.database.client.run(rows)
        }
        try await scene.run(scene.relay { $0.batchSize = batchSize }) { try await scene.waitForArrivals(1200) }
        let byKey = Dictionary(grouping: scene.arrived.all, by: \.orderID).mapValues { $0.map(\.number) }
        #expect(byKey.count == 21)
        #expect(byKey["hot"] == Array(0..<600))
        for numbers in byKey.values { #expect(numbers == numbers.sorted()) }
        #expect(scene.arrived.count == 1200)
    }

    @Test("An event whose transaction commits late is published, although one with a higher number was before")
    func publishesLateCommit() async throws {
        let scene = Scene(try await TestPostgres.database())
        let late = try scene.database.session()
        try await late.execute("BEGIN")
        _ = try await late.execute(scene.outbox.row(for: OrderPlaced(orderID: "late", number: 1)))
        try await scene.run {
            // Enough exchanges for the relay to have passed over every number that it may pass over.
            for number in 2...12 {
                try await scene.store(OrderPlaced(orderID: "early", number: number))
                try await scene.waitForArrivals(number - 1)
            }
            try await late.execute("COMMIT")
            // The trap: a relay that goes on after the last number that it has seen never finds it.
            #expect(try await scene.database.integer("SELECT last_value FROM eventbus_outbox_sequence") == 12)
            try await scene.waitForArrivals(12)
        }
        #expect(scene.arrived.all.last == OrderPlaced(orderID: "late", number: 1))
        await late.close()
    }

    @Test("Transactions that follow one another keep the order of a key, whichever began first")
    func keepsOrderOfLockedKey() async throws {
        let scene = Scene(try await TestPostgres.database())
        try await scene.database.client.run(PostgresStatement("CREATE TABLE account (id int PRIMARY KEY)"))
        try await scene.database.client.run(PostgresStatement("INSERT INTO account VALUES (1), (2)"))
        let (first, second) = (try scene.database.session(), try scene.database.session())
        let lock = "SELECT id FROM account WHERE id = 1 FOR UPDATE"
        // The second one has the older transaction id.
        try await second.execute("BEGIN")
        try await second.execute("UPDATE account SET id = 2 WHERE id = 2")
        try await first.execute("BEGIN")
        try await first.execute(lock)
        let waiting = Task {
            try await second.execute(lock)
            _ = try await second.execute(scene.outbox.row(for: OrderPlaced(orderID: "1", number: 2)))
            try await second.execute("COMMIT")
        }
        _ = try await first.execute(scene.outbox.row(for: OrderPlaced(orderID: "1", number: 1)))
        try await scene.run {
            try await first.execute("COMMIT")
            try await waiting.value
            try await scene.waitForArrivals(2)
        }
        #expect(scene.arrived.all.map(\.number) == [1, 2])
        for session in [first, second] { await session.close() }
    }

    @Test("Events without a subscriber wait without blocking others, and are published in order once there is one")
    func waitsForSubscriber() async throws {
        let scene = Scene(try await TestPostgres.database(), hasSubscriber: false)
        let notes = EventRecorder()
        scene.bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [notes])) { _, _ in }
        let relay = try scene.relay {
            $0.maximumRetryInterval = .milliseconds(20)
            $0.measurementInterval = .zero
        }
        try await scene.run(relay) {
            for number in 1...5 { try await scene.store(OrderPlaced(orderID: "k", number: number)) }
            _ = try await scene.database.client.run(scene.outbox.row(for: NoteTaken(number: 1)))
            _ = try await notes.waitForHandled(NoteTaken.self)
            try await eventually("they wait", within: .seconds(30)) {
                try await scene.outbox.backlog().withoutSubscriber == 5
            }
            #expect(relay.health().reason?.contains("order.placed") == true)
            scene.subscribe()
            try await scene.store(OrderPlaced(orderID: "k", number: 6))
            try await scene.waitForArrivals(6)
        }
        #expect(scene.arrived.all.map(\.number) == Array(1...6))
    }

    @Test("An event at fault is parked with the reason, and can be replayed before those of its key, or discarded")
    func parks() async throws {
        let refuses = Locked(true)
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [
            Refusing { envelope in
                refuses.withLock { $0 } && envelope.partitionKey == "bad" ? NeverAgain() : nil
            }
        ]
        let scene = Scene(
            try await TestPostgres.database(),
            bus: EventBus(transport: .inMemory(), configuration: configuration)
        )
        try await scene.run {
            for number in 1...3 {
                try await scene.store(OrderPlaced(orderID: "bad", number: number), OrderPlaced(orderID: "good"))
            }
            try await scene.waitForArrivals(3)
            try await eventually("all are parked") { try await scene.outbox.backlog().parked == 3 }
            let parked = try await scene.outbox.parked()
            #expect(parked.compactMap(\.envelope?.partitionKey) == ["bad", "bad", "bad"])
            #expect(parked.allSatisfy { $0.failure.message.contains("never again") })
            #expect(try await scene.outbox.discard(parked[1].id))
            #expect(try await scene.outbox.discard(parked[1].id) == false)
            refuses.withLock { $0 = false }
            #expect(try await scene.outbox.replayAll() == 2)
            try await scene.waitForArrivals(5)
        }
        #expect(scene.arrived.all.filter { $0.orderID == "bad" }.map(\.number) == [1, 3])
        #expect(try await scene.outbox.backlog().parked == 0)
    }

    @Test("A row without an event is parked and blocks nobody")
    func parksUnreadableRow() async throws {
        let scene = Scene(try await TestPostgres.database())
        try await scene.store(OrderPlaced(orderID: "k", number: 1))
        try await scene.database.client.run(
            PostgresStatement("UPDATE eventbus_outbox SET topic = 'not a topic', headers = '{'")
        )
        try await scene.run {
            try await scene.store(OrderPlaced(orderID: "k", number: 2))
            try await scene.waitForArrivals(1)
            try await eventually("it is parked") { try await scene.outbox.parked().count == 1 }
        }
        #expect(scene.arrived.all.map(\.number) == [2])
    }

    @Test("An event whose delay exceeds the limit of the broker waits in the database until the broker can hold it")
    func delays() async throws {
        let scene = Scene(try await TestPostgres.database())
        let time = Locked(EventTime.now())
        let store = try PostgresOutboxStore(
            scene.database.client,
            settings: StoreSettings(
                OutboxRelay.Configuration(),
                maximumDelay: .seconds(600),
                wallClock: WallClock { time.withLock { $0 } }
            )
        )
        let row = try scene.outbox.row(for: OrderPlaced(orderID: "k", number: 1), options: .init(delay: .seconds(3600)))
        try await scene.database.client.run(row)
        try await scene.store(OrderPlaced(orderID: "k", number: 2))
        // Not earlier than the events were stored.
        time.withLock { $0 = .now() }
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        _ = try await store.exchange(request)
        // The event behind it does not wait with it.
        let next = try await store.exchange(request)?.taking
        #expect(next?.runs.flatMap(\.self).map(\.sequence) == [2])
        #expect(try await scene.outbox.backlog().delayed == 1)
        let due = try #require(next?.nextDue)
        time.withLock { $0 = due }
        let runs = try await store.exchange(request)?.taking.runs
        #expect(runs?.first?.map(\.sequence) == [1, 2])
        try await store.finish(Settlement())
    }

    @Test("A lease of a relay that has crashed runs out by the clock of the server")
    func leaseRunsOut() async throws {
        let scene = Scene(try await TestPostgres.database())
        let settings = StoreSettings(
            OutboxRelay.Configuration(),
            maximumDelay: .seconds(100),
            // A host whose clock is an hour ahead.
            wallClock: WallClock { EventTime.now() + .seconds(3600) }
        )
        var short = settings
        short.leaseDuration = .seconds(1)
        (short.owner, short.wallClock) = ("crashed", WallClock { .now() })
        let crashed = try PostgresOutboxStore(scene.database.client, settings: short)
        let other = try PostgresOutboxStore(scene.database.client, settings: settings)
        let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
        // Connected first, so that the lease does not run out meanwhile.
        _ = try await other.backlog()
        #expect(try await crashed.exchange(request) != nil)
        #expect(try await other.exchange(request) == nil)
        try await eventually("the lease runs out") { try await other.exchange(request) != nil }
        #expect(try await crashed.exchange(request) == nil)
        try await other.finish(Settlement())
    }

    @Test("A payload is stored as the payload steps encode it, and arrives decoded")
    func payloadSteps() async throws {
        var configuration = EventBusConfiguration()
        configuration.payloadSteps = [MarkingStep()]
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let scene = Scene(try await TestPostgres.database(), bus: bus)
        try await scene.store(OrderPlaced(orderID: "k", number: 1))
        let rows = try await scene.database.client.run(
            PostgresStatement("SELECT \(EventColumns.outbox) FROM eventbus_outbox")
        )
        let envelope = try Envelope(rows, 0)
        #expect(envelope.contentEncoding == "x-marked")
        #expect(envelope.payload == Array(#"!{"orderID":"k","number":1}"#.utf8))
        try await scene.run { try await scene.waitForArrivals(1) }
        #expect(scene.arrived.all == [OrderPlaced(orderID: "k", number: 1)])
    }

    @Test("A text with U+0000 is refused when the row is made, because PostgreSQL does not store it")
    func refusesZero() async throws {
        let scene = Scene(try await TestPostgres.database())
        let error = #expect(throws: EventBusError.self) { try scene.outbox.row(for: OrderPlaced(orderID: "a\u{0}b")) }
        #expect(error?.code == .invalidEnvelope)
    }
}

/// An error after which another attempt cannot help.
struct NeverAgain: NonRetryable, CustomStringConvertible {
    var description: String { "never again" }
}

/// Publish middleware with a closure that may refuse the event.
struct Refusing: PublishMiddleware {
    var refusal: @Sendable (Envelope) -> (any Error)?

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        if let error = refusal(event.envelope) { throw error }
        return try await next(event)
    }
}
