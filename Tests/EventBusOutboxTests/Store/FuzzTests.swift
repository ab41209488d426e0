import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("Rows with arbitrary content", .timeLimit(.minutes(3)))
    struct FuzzTests {
        static let values = [
            "NULL", "-1", "0", "9223372036854775807", "-9223372036854775808", "1.5", "1e300", "-1e300", "''", "'x'",
            "'a.*.b'", "'{\"values\":{\"a\":{\"int\":\"x\"}}}'", "'[[[[[['", "x''", "x'ff00fe'", "CAST(x'ff' AS TEXT)",
            "'a' || char(0) || 'b'", "printf('%.*c', 300, 'k')",
        ]
        static let columns = [
            "event_id", "topic", "partition_key", "content_type", "version", "time", "source", "correlation_id",
            "causation_id", "headers", "payload", "stored_at", "deliver_at", "requires_subscriber", "attempts",
            "unrouted",
            "last_error", "due_at",
        ]

        @Test("Whatever a column contains, the relay continues and no event is lost", arguments: columns)
        func column(_ column: String) async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPaid.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            bus.subscribe(to: "#", group: "all") { _, _ in }
            let count = Self.values.count
            try await database.write { db in
                for (index, value) in Self.values.enumerated() {
                    try outbox.publish(OrderPlaced(orderID: "\(index)"), in: db)
                    let sequence = db.lastInsertedRowID
                    try outbox.publish(OrderPaid(orderID: "\(index)"), in: db)
                    try outbox.publish(NoteTaken(number: index), in: db)
                    // Rows that the schema refuses cannot exist.
                    try? db.execute(
                        sql: "UPDATE eventbus_outbox SET \(column) = \(value) WHERE sequence IN (?, ?)",
                        arguments: [sequence, sequence + 2]
                    )
                }
            }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                let handled = Task {
                    try await recorder.waitForHandled(OrderPaid.self, count: count, within: .seconds(60))
                }
                for _ in 1...200 where recorder.settled.count < count {
                    clock.advance(by: .seconds(1))
                    await relay.rest()
                }
                _ = try await handled.value
                try await database.drain(by: clock, relay)
                #expect(relay.health().status == .ready)
                _ = try await database.read { db in (try outbox.backlog(in: db), try outbox.parked(in: db)) }
                // Neither does replaying parked events.
                try await database.write { db in _ = try outbox.replayAll(in: db) }
                try await database.drain(by: clock, relay)
            }
        }

        @Test("Whatever the relay's own rows contain, it continues", arguments: values)
        func ownRows(_ value: String) async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPaid.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            try await database.write { db in
                _ = try outbox.publish(OrderPaid(orderID: "k"), in: db)
                let columns = [
                    ("eventbus_outbox_relay", "id, owner, expires_at, duration", "1, \(value), \(value), \(value)"),
                    ("eventbus_outbox_state", "id, replays", "1, \(value)"),
                    ("eventbus_outbox_topic", "topic, tries, next_at", "\(value), \(value), \(value)"),
                ]
                for (table, names, values) in columns {
                    try? db.execute(sql: "INSERT INTO \(table) (\(names)) VALUES (\(values))")
                }
            }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                let handled = Task { try await recorder.waitForHandled(OrderPaid.self) }
                try await database.drain(by: clock, relay)
                _ = try await handled.value
            }
        }
    }
}
