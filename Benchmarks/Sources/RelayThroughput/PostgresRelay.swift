import EventBus
import EventBusOutbox
import EventBusPostgres
import Foundation

/// The relay of an outbox in PostgreSQL.
enum PostgresRelay {
    /// Stores events through `psql`, and returns the time that a relay takes to publish and delete them.
    static func publish(
        _ events: [Filling],
        on bus: EventBus,
        at url: String,
        _ confirmations: Confirmations
    ) async throws -> Duration {
        let client = try PostgresClient(PostgresConfiguration(url))
        try await client.migrate()
        let outbox = PostgresOutbox(client, bus: bus)
        var script = "BEGIN;\n"
        for event in events { script += Psql.statement(try outbox.row(for: event)) }
        try Psql.run(script + "COMMIT;\n", at: url)
        let relay = try OutboxRelay(client, bus: bus)
        let start = ContinuousClock.now
        let running = Task { try await relay.run() }
        try await confirmations.wait(for: events.count) { try await outbox.backlog().count == 0 }
        let time = start.duration(to: .now)
        running.cancel()
        try await running.value
        await client.close()
        return time
    }
}
