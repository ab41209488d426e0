import EventBus
import EventBusInMemory
import EventBusTesting
import Foundation
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("Rows that others change while the relay runs", .timeLimit(.minutes(2)))
    struct StrandedEventsTests {
        @Test("When the first event of a key is deleted while the relay runs, the events behind it are published")
        func deletedHead() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let first = EventID()
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { envelope in
                envelope.id == first ? .error(EventBusError(.rejected, "full")) : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            let inOrder = SubscriptionOptions(ordering: .byPartitionKey, middleware: [recorder])
            bus.subscribe(to: OrderPlaced.self, group: "g", options: inOrder) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    try outbox.publish(OrderPlaced(orderID: "other", number: 0), in: db)
                    try outbox.publish(OrderPlaced(orderID: "k", number: 1), options: .init(id: first), in: db)
                    for number in 2...4 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                }
                while relay.health().reason?.contains("full") != true {
                    clock.advance(by: .seconds(1))
                    await relay.rest()
                }
                try await database.write { db in
                    try db.execute(sql: "DELETE FROM eventbus_outbox WHERE event_id = ?", arguments: [first.rawValue])
                }
                let handled = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 4) }
                try await database.drain(by: clock, relay)
                #expect(try await handled.value.map(\.number) == [0, 2, 3, 4])
                clock.advance(by: .seconds(1))
                await relay.rest()
                #expect(relay.health().status == .ready)
            }
        }

        @Test("A row that somebody inserted without a time is published, with or without a key")
        func withoutTime() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                await relay.rest()
                try await database.write { db in
                    try outbox.publish(NoteTaken(number: 1), in: db)
                    for number in 1...3 { try outbox.publish(OrderPlaced(orderID: "", number: number), in: db) }
                    for number in 1...3 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                    try db.execute(sql: "UPDATE eventbus_outbox SET due_at = NULL")
                }
                let orders = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 6) }
                let notes = Task { try await recorder.waitForHandled(NoteTaken.self) }
                try await database.drain(by: clock, relay)
                _ = try await (orders.value, notes.value)
            }
        }

        @Test("Keys that are not text do not make the repair loop, and their rows are parked")
        func keysThatAreBlobs() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            try await database.write { db in
                for key in ["a", "b", "c"] {
                    for number in 1...2 { try outbox.publish(OrderPlaced(orderID: key, number: number), in: db) }
                }
                for key in ["x'61'", "x''", "x'ff'"] {
                    try outbox.publish(OrderPlaced(orderID: "of a blob"), in: db)
                    try db.execute(
                        sql: "UPDATE eventbus_outbox SET partition_key = \(key), due_at = NULL WHERE sequence = ?",
                        arguments: [db.lastInsertedRowID]
                    )
                }
                // All keys fit in one step.
                #expect(try OutboxStatements.repair(after: Data().databaseValue, limit: 100, in: db) == nil)
            }
            bus.subscribe(to: OrderPlaced.self, group: "g") { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.drain(by: clock, relay)
                let parked = try await database.read { try outbox.parked(in: $0) }
                #expect(parked.map(\.failure.reason) == [.undecodable, .undecodable, .undecodable])
            }
        }

        @Test("An event that was set aside is published although the row of its topic is gone")
        func topicGone() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in _ = try outbox.publish(NoteTaken(number: 1), in: db) }
                while relay.health().details["without_subscriber"] != 1 {
                    clock.advance(by: .seconds(1))
                    await relay.rest()
                }
                try await bus.subscribe(
                    to: NoteTaken.self,
                    group: "g",
                    options: .init(middleware: [recorder])
                ) { _, _ in }.attached()
                try await database.write { try $0.execute(sql: "DELETE FROM eventbus_outbox_topic") }
                let handled = Task { try await recorder.waitForHandled(NoteTaken.self) }
                while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                    clock.advance(by: .seconds(1))
                    await relay.rest()
                }
                _ = try await handled.value
            }
        }

        @Test("A delayed event with an invalid time is published", arguments: ["'x'", "x'00'", "''", "-5", "1e300"])
        func delayedWithoutTime(_ value: String) throws {
            let database = try makeDatabase()
            let now = EventTime(milliseconds: 1_000_000_000)
            try database.write { db in
                try OutboxStatements.insert(
                    Envelope(topic: "t", payload: []),
                    storedAt: now,
                    deliverAt: now + .seconds(200_000),
                    readyAt: now + .seconds(100_000),
                    requiresSubscriber: false,
                    in: db
                )
                try db.execute(sql: "UPDATE eventbus_outbox_delayed SET ready_at = \(value)")
                try OutboxStatements.repairValues(now: now, maximumInterval: .seconds(120), in: db)
                let taking = try OutboxStatements.take(
                    limit: 10,
                    depth: 1,
                    excluding: [],
                    terms: .init(now: now),
                    in: db
                )
                #expect(taking.runs.count == 1)
            }
        }
    }
}
