import EventBus
import EventBusOutbox
import EventBusOutboxTesting
import EventBusTesting
import GRDB
import Testing

@Suite("The outbox in SQLite", .timeLimit(.minutes(2)))
struct ConformanceTests {
    @Test("It follows the contract of outboxes", arguments: OutboxConformance { try SQLiteSubject(bus: $0) }.checks)
    func conforms(_ check: ConformanceCheck) async throws {
        try await check.run()
    }
}

/// An outbox in an SQLite database of its own.
private struct SQLiteSubject: OutboxSubject {
    private struct RolledBack: Error {}

    let database: DatabaseQueue
    let outbox: Outbox
    let bus: EventBus

    init(bus: EventBus) throws {
        database = try makeDatabase()
        outbox = Outbox(bus: bus)
        self.bus = bus
    }

    func store(_ envelopes: [Envelope], options: PublishOptions, commits: Bool) async throws {
        do {
            try await database.write { db in
                for envelope in envelopes { try outbox.publish(envelope, options: options, in: db) }
                if !commits { throw RolledBack() }
            }
        } catch is RolledBack {}
    }

    func makeRelay(_ configuration: OutboxRelay.Configuration) -> OutboxRelay {
        OutboxRelay(database: database, bus: bus, configuration: configuration, logger: .quiet)
    }

    func backlog() async throws -> OutboxBacklog { try await database.read { try outbox.backlog(in: $0) } }
    func parked() async throws -> [ParkedEvent] { try await database.read { try outbox.parked(in: $0) } }
    func replay(_ event: ParkedEvent.ID) async throws -> Bool {
        try await database.write { try outbox.replay(event, in: $0) }
    }
    func discard(_ event: ParkedEvent.ID) async throws -> Bool {
        try await database.write { try outbox.discard(event, in: $0) }
    }
}
