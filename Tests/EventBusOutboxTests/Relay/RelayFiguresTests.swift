import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import MetricsTestKit
import Testing

@testable import EventBusOutbox

@Suite("The relay's metrics", .timeLimit(.minutes(3)))
struct RelayFiguresTests {
    @Test("Metrics and health report backlog, age and parked events")
    func figures() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let metrics = TestMetrics()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        bus.subscribe(to: OrderPlaced.self, group: "g") { _, _ in }
        try await database.write { db in
            try outbox.publish(NoteTaken(number: 1), in: db)
            try outbox.publish(NoteTaken(number: 2), in: db)
            try outbox.publish(OrderPlaced(orderID: "1"), in: db)
            try outbox.publish(OrderPlaced(orderID: "2"), in: db)
            try db.execute(sql: "UPDATE eventbus_outbox SET topic = '*' WHERE sequence = 4")
        }
        clock.advance(by: .seconds(90))
        let relay = OutboxRelay(database: database, bus: bus, configuration: .init(), logger: .quiet, metrics: metrics)
        try await running(bus, relay) {
            // Nobody has subscribed to the notes.
            while relay.health().details["backlog"] != 2 || relay.health().details["parked"] != 1 {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
        }
        #expect(relay.health().details["oldest_age_seconds"].map { $0 >= 90 } == true)
        #expect(try metrics.expectGauge("eventbus.outbox.backlog").lastValue == 2)
        #expect(try metrics.expectGauge("eventbus.outbox.parked").lastValue == 1)
        #expect(try metrics.expectGauge("eventbus.outbox.oldest_age_seconds").lastValue.map { $0 >= 90 } == true)
        #expect(try metrics.expectCounter("eventbus.outbox.published").totalValue == 1)
    }

    @Test("It publishes 10,000 events, none of them twice", arguments: [true, false])
    func drains(isOnDisk: Bool) async throws {
        let count = 10_000
        let file = try DatabaseFile()
        let database: any DatabaseWriter = isOnDisk ? try file.open() : try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let seen = Locked(Set<Int>())
        let isComplete = Signal()
        let deliveries = Collected<Void>()
        bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(concurrency: 100)) { order, _ in
            deliveries.add(())
            let seenCount = seen.withLock { seen in
                seen.insert(order.number)
                return seen.count
            }
            if seenCount == count { isComplete.raise() }
        }
        try await database.write { db in
            for number in 0..<count {
                try outbox.publish(OrderPlaced(orderID: "\(number % 2000)", number: number), in: db)
            }
        }
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            try await isComplete.wait()
            try await database.waitForBacklog(of: 0)
        }
        #expect(deliveries.count == count)
    }
}
