import EventBus
import EventBusOutbox
import EventBusOutboxTesting
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The outbox in PostgreSQL", .timeLimit(.minutes(2)))
struct ConformanceTests {
    @Test(
        "It follows the contract of outboxes",
        arguments: OutboxConformance { bus in
            try await PostgresSubject(database: TestPostgres.database(), bus: bus)
        }.checks
    )
    func conforms(_ check: ConformanceCheck) async throws {
        try await check.run()
    }
}

/// An outbox in a database of its own.
private struct PostgresSubject: OutboxSubject {
    let database: TestDatabase
    let outbox: PostgresOutbox
    let bus: EventBus

    init(database: TestDatabase, bus: EventBus) {
        self.database = database
        outbox = PostgresOutbox(database.client, bus: bus)
        self.bus = bus
    }

    func store(_ envelopes: [Envelope], options: PublishOptions, commits: Bool) async throws {
        let rows = try envelopes.map { try outbox.row(for: $0, options: options) }
        try await database.client.run(
            [PostgresStatement("BEGIN")] + rows + [PostgresStatement(commits ? "COMMIT" : "ROLLBACK")]
        )
    }

    func makeRelay(_ configuration: OutboxRelay.Configuration) throws -> OutboxRelay {
        try OutboxRelay(database.client, bus: bus, configuration: configuration, logger: .quiet)
    }

    func backlog() async throws -> OutboxBacklog { try await outbox.backlog() }
    func parked() async throws -> [ParkedEvent] { try await outbox.parked() }
    func replay(_ event: ParkedEvent.ID) async throws -> Bool { try await outbox.replay(event) }
    func discard(_ event: ParkedEvent.ID) async throws -> Bool { try await outbox.discard(event) }
}
