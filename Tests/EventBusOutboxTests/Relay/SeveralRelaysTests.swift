import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

@Suite("Several relays and crashes", .timeLimit(.minutes(2)))
struct SeveralRelaysTests {
    @Test("Of two relays on one file one publishes each event once and in order, and the other takes over")
    func takeOver() async throws {
        let file = try DatabaseFile()
        let broker = InMemoryBroker()
        let arrived = Collected<OrderPlaced>()
        let recorder = EventRecorder()
        let consumer = EventBus(transport: .inMemory(broker))
        consumer.subscribe(
            to: OrderPlaced.self,
            group: "g",
            options: .init(concurrency: 20, ordering: .byPartitionKey, middleware: [recorder])
        ) { order, _ in
            arrived.add(order)
        }

        @Sendable func instance() throws -> (bus: EventBus, outbox: Outbox, relay: OutboxRelay, database: DatabasePool)
        {
            let database = try file.open()
            let bus = EventBus(transport: .inMemory(broker))
            let relay = OutboxRelay(
                database: database,
                bus: bus,
                configuration: .with {
                    $0.batchSize = 20
                    $0.pollInterval = .milliseconds(10)
                }
            )
            return (bus, Outbox(bus: bus), relay, database)
        }
        @Sendable func store(_ numbers: Range<Int>, by outbox: Outbox, _ database: DatabasePool) async throws {
            for number in numbers {
                try await database.write { db in
                    _ = try outbox.publish(OrderPlaced(orderID: "\(number % 10)", number: number), in: db)
                }
            }
        }

        try await consumer.withRunning {
            let (first, second) = (try instance(), try instance())
            try await running(second.bus, second.relay) {
                try await running(first.bus, first.relay) {
                    async let stored: Void = store(0..<150, by: first.outbox, first.database)
                    try await store(150..<300, by: second.outbox, second.database)
                    try await stored
                    _ = try await recorder.waitForHandled(OrderPlaced.self, count: 300, within: .seconds(60))
                    let publishing = [first, second].map { $0.relay.health().details["publishes"] }
                    #expect(publishing.compactMap { $0 }.reduce(0, +) == 1)
                    try await store(300..<400, by: first.outbox, first.database)
                }
                try await store(400..<500, by: second.outbox, second.database)
                _ = try await recorder.waitForHandled(OrderPlaced.self, count: 500, within: .seconds(60))
            }
        }
        #expect(arrived.count == 500)
        #expect(Set(arrived.all.map(\.number)).count == 500)
        // The order of storing is known only within one connection.
        for part in [0..<150, 150..<300, 300..<500] {
            let ofPart = arrived.all.filter { part.contains($0.number) }
            for orders in Dictionary(grouping: ofPart, by: \.orderID).values {
                #expect(orders.map(\.number) == orders.map(\.number).sorted())
            }
        }
    }

    @Test("A relay stands by while another's lease is valid, and publishes when it has ended")
    func leaseOfACrashedRelay() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        let relay = OutboxRelay(database: database, bus: bus)
        let now = WallClock(bus.clock).now
        try await database.write { db in
            _ = try OutboxStatements.acquire("crashed", duration: .seconds(10), now: now, in: db)
            _ = try outbox.publish(NoteTaken(number: 1), in: db)
        }
        try await running(bus, relay) {
            for second in 1...9 {
                try await clock.sleeper(dueBy: .init(offset: .seconds(second)))
                #expect(relay.health().details["publishes"] == 0)
                #expect(try await database.waiting().count == 1)
                clock.advance(by: .seconds(1))
            }
            try await clock.sleeper(dueBy: .init(offset: .seconds(10)))
            #expect(recorder.settled.isEmpty)
            clock.advance(by: .seconds(1))
            _ = try await recorder.waitForHandled(NoteTaken.self)
            #expect(relay.health().details["publishes"] == 1)
        }
    }

    @Test("A lease from before the clock was set back is not valid")
    func clockSetBack() throws {
        let database = try makeDatabase()
        let now = EventTime(milliseconds: 1_000_000_000)
        try database.write { db in
            _ = try OutboxStatements.acquire("crashed", duration: .seconds(10), now: now + .seconds(3600), in: db)
            #expect(
                try OutboxStatements.acquire("new", duration: .seconds(10), now: now, in: db)?.until == now
                    + .seconds(10)
            )
            #expect(try OutboxStatements.acquire("other", duration: .seconds(10), now: now, in: db) == nil)
        }
    }

    @Test("After a crash between publishing and deleting, the event is published again and the inbox suppresses it")
    func crashBeforeDelete() async throws {
        let database = try makeDatabase()
        let inbox = SQLiteInbox(database: database)
        let broker = InMemoryBroker()
        let handled = Collected<Int>()
        let deliveries = EventRecorder()
        let consumer = EventBus(transport: .inMemory(broker))
        consumer.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [deliveries])) { note, context in
            try await inbox.performOnce(context) { _ in _ = handled.add(note.number) }
        }

        @Sendable func relay() -> (EventBus, OutboxRelay) {
            let bus = EventBus(transport: .inMemory(broker))
            return (bus, OutboxRelay(database: database, bus: bus, configuration: .with { $0.leaseDuration = .zero }))
        }
        let outbox = Outbox(bus: consumer)
        try await database.write { db in
            for number in 0..<50 { try outbox.publish(NoteTaken(number: number), in: db) }
            // From here on the relay dies whenever it is about to delete.
            try db.execute(
                sql: """
                    CREATE TRIGGER crash BEFORE DELETE ON eventbus_outbox
                    BEGIN SELECT RAISE(ABORT, 'crashed'); END
                    """
            )
        }
        try await consumer.withRunning {
            let (bus, crashing) = relay()
            try await running(bus, crashing) {
                _ = try await deliveries.waitForHandled(NoteTaken.self, count: 50)
                while crashing.health().reason?.contains("crashed") != true { await Task.yield() }
            }
            #expect(try await database.waiting().count == 50)
            try await database.write { try $0.execute(sql: "DROP TRIGGER crash") }
            let (nextBus, next) = relay()
            try await running(nextBus, next) {
                try await deliveries.waitUntil("50 duplicates") { recorder in
                    try recorder.duplicates(NoteTaken.self).count == 50
                }
                try await database.waitForBacklog(of: 0)
            }
        }
        #expect(handled.all.sorted() == Array(0..<50))
    }

    @Test("While the database fails, published events are not published again, and are deleted later")
    func databaseFails() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        let deliveries = EventRecorder()
        bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [deliveries])) { _, _ in }
        let relay = OutboxRelay(database: database, bus: bus)
        try await running(bus, relay) {
            try await database.write { db in
                for number in 0..<30 {
                    try outbox.publish(OrderPlaced(orderID: "\(number % 3)", number: number), in: db)
                }
                try db.execute(
                    sql: """
                        CREATE TRIGGER fail BEFORE DELETE ON eventbus_outbox
                        BEGIN SELECT RAISE(ABORT, 'disk trouble'); END
                        """
                )
            }
            _ = try await deliveries.waitForHandled(OrderPlaced.self, count: 30)
            while relay.health().reason?.contains("disk trouble") != true { await Task.yield() }
            #expect(relay.health().status == .notReady)
            try await database.write { try $0.execute(sql: "DROP TRIGGER fail") }
            while try await database.waiting().count > 0 {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
        }
        #expect(deliveries.settled.count == 30)
        #expect(relay.health().reason == "shut down")
    }
}
