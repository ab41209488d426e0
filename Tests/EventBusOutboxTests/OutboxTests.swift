import EventBus
import EventBusInMemory
import EventBusOutboxTesting
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

@Suite("The outbox", .timeLimit(.minutes(1)))
struct OutboxTests {
    @Test("Every field of an envelope is read from the database unchanged")
    func roundTrip() throws {
        let database = try makeDatabase()
        let outbox = Outbox(bus: EventBus(transport: .inMemory()))
        let envelope = Envelope(
            id: "an id of another system",
            topic: "order.placed",
            payload: [0, 1, 255],
            contentType: "application/octet-stream",
            version: 7,
            time: EventTime(milliseconds: 1_234_567_890_123),
            source: "orders",
            correlationID: "request-1",
            causationID: EventID(),
            partitionKey: "42 é",
            headers: [
                "text": "é", "whole": .int(.max), "real": 1.5, "flag": true,
                "bytes": .bytes([0, 255]), "when": .timestamp(seconds: 12), "list": [1, nil, ["inner": 2.0]],
                "caf\u{E9}": 1, "cafe\u{301}": ["caf\u{E9}": 2, "cafe\u{301}": 3],
            ]
        )
        let plain = Envelope(topic: "note.taken", payload: Array("{}".utf8))
        let taken = try database.write { db in
            try outbox.publish(envelope, in: db)
            try outbox.publish(plain, options: PublishOptions(requiresSubscriber: true), in: db)
            return try OutboxStatements.take(limit: 10, depth: 10, excluding: [], terms: .init(now: .now()), in: db)
        }
        #expect(taken.runs.flatMap { $0 }.map(\.envelope) == [envelope, plain])
        #expect(taken.runs.flatMap { $0 }.map(\.requiresSubscriber) == [false, true])
    }

    @Test("A payload is stored as the payload steps encode it")
    func payloadSteps() throws {
        let database = try makeDatabase()
        var configuration = EventBusConfiguration()
        configuration.payloadSteps = [MarkingStep()]
        let outbox = Outbox(bus: EventBus(transport: .inMemory(), configuration: configuration))
        let taken = try database.write { db in
            try outbox.publish(NoteMarked(text: "secret"), in: db)
            return try OutboxStatements.take(limit: 10, depth: 10, excluding: [], terms: .init(now: .now()), in: db)
        }
        let envelopes = taken.runs.flatMap { $0 }.map(\.envelope)
        #expect(envelopes.map(\.contentEncoding) == ["x-marked"])
        #expect(envelopes.map(\.payload) == [Array(#"!{"text":"secret"}"#.utf8)])
    }

    @Test("Text that contains NUL is stored whole, and keys that differ behind it are two keys")
    func nul() throws {
        let database = try makeDatabase()
        let outbox = Outbox(bus: EventBus(transport: .inMemory()))
        let envelopes = (1...4).map { number in
            Envelope(
                id: EventID("a\0\(number)"),
                topic: "note.taken",
                payload: [],
                contentType: "a\0\(number)",
                source: "a\0\(number)",
                correlationID: CorrelationID("a\0\(number)"),
                causationID: EventID("a\0\(number)"),
                partitionKey: "a\0\(number % 2)",
                headers: ["text": .string("a\0\(number)")]
            )
        }
        let runs = try database.write { db in
            for envelope in envelopes { try outbox.publish(envelope, in: db) }
            return try OutboxStatements.take(limit: 10, depth: 10, excluding: [], terms: .init(now: .now()), in: db)
                .runs
        }
        #expect(runs.map { $0.map(\.envelope) } == [[envelopes[0], envelopes[2]], [envelopes[1], envelopes[3]]])
        var settlement = Settlement()
        settlement.publish(runs[0][0])
        let rest = try database.write { [settlement] db in
            try OutboxStatements.settle(settlement, now: .now(), in: db)
            return try OutboxStatements.take(limit: 10, depth: 1, excluding: [], terms: .init(now: .now()), in: db).runs
        }
        #expect(rest.flatMap { $0 }.map(\.envelope) == [envelopes[1], envelopes[2]])
    }

    @Test("An event that is invalid on the wire makes the transaction fail, not the relay")
    func refusesIllegalEvents() throws {
        let database = try makeDatabase()
        let outbox = Outbox(bus: EventBus(transport: .inMemory()))
        let error = #expect(throws: EventBusError.self) {
            try database.write { db in
                try outbox.publish(NoteTaken(number: 1), options: PublishOptions(headers: ["x-death": 1]), in: db)
            }
        }
        #expect(error?.code == .invalidEnvelope)
        #expect(try database.read { try outbox.backlog(in: $0) }.count == 0)
    }

    @Test("Outside a transaction nothing is stored")
    func refusesToStandAlone() throws {
        let database = try makeDatabase()
        let outbox = Outbox(bus: EventBus(transport: .inMemory()))
        let error = #expect(throws: EventBusError.self) {
            try database.writeWithoutTransaction { db in try outbox.publish(NoteTaken(number: 1), in: db) }
        }
        #expect(error?.code == .unsupported)
        #expect(try database.read { try outbox.backlog(in: $0) }.count == 0)
    }

    @Test("A rolled back transaction publishes nothing, and a committed one exactly the stored events")
    func transactions() async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let relay = OutboxRelay(database: database, bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await running(bus, relay) {
            #expect(throws: Broken.self) {
                try database.write { db in
                    try outbox.publish(NoteTaken(number: 1), in: db)
                    throw Broken()
                }
            }
            try await database.write { db in
                try outbox.publish(NoteTaken(number: 2), in: db)
                try db.inSavepoint {
                    try outbox.publish(NoteTaken(number: 3), in: db)
                    return .rollback
                }
                try outbox.publish(NoteTaken(number: 4), in: db)
            }
            _ = try await recorder.waitForHandled(NoteTaken.self, count: 2)
            try await database.waitForBacklog(of: 0)
        }
        #expect(try recorder.handled(NoteTaken.self).map(\.number).sorted() == [2, 4])
    }

    @Test("Correlation and causation are those of the handler that stored the event")
    func correlation() async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: OrderPlaced.self, group: "g") { _, _ in
            try await database.write { db in _ = try outbox.publish(NoteTaken(number: 1), in: db) }
        }
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            let receipt = try await bus.publish(OrderPlaced(orderID: "1"), options: .init(correlationID: "request"))
            _ = try await recorder.waitForHandled(NoteTaken.self)
            let note = try #require(recorder.settled.first).envelope
            #expect(note.correlationID == "request")
            #expect(note.causationID == receipt.id)
        }
    }

    @Test("A delay starts when the event is stored")
    func delays() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await database.write { db in
            _ = try outbox.publish(NoteTaken(number: 1), options: .init(delay: .seconds(60)), in: db)
        }
        clock.advance(by: .seconds(20))
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            try await database.waitForBacklog(of: 0)
            #expect(bus.health().components.compactMap { $0.details["delayed"] } == [1])
            clock.advance(by: .seconds(39))
            #expect(bus.health().components.compactMap { $0.details["delayed"] } == [1])
            clock.advance(by: .seconds(1))
            _ = try await recorder.waitForHandled(NoteTaken.self)
        }
    }
}

private struct NoteMarked: Event {
    static let topic: Topic = "note.marked"
    var text: String
}
