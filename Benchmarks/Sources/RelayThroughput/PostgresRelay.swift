import EventBus
import EventBusOutbox
import EventBusPostgres
import Foundation

/// The relay of an outbox in PostgreSQL.
enum PostgresRelay {
    /// Stores events through `psql`, and returns the time that a relay takes to publish and delete them.
    static func publish(_ events: [Filling], on bus: EventBus, at url: String) async throws -> Duration {
        let client = try PostgresClient(PostgresConfiguration(url))
        try await client.migrate()
        let outbox = PostgresOutbox(client, bus: bus)
        var script = "BEGIN;\n"
        for event in events {
            let row = try outbox.row(for: event)
            script += row.sql { literal(row.values[$0 - 1]) } + ";\n"
        }
        try carryOut(script + "COMMIT;\n", at: url)
        let relay = try OutboxRelay(client, bus: bus)
        let start = ContinuousClock.now
        let running = Task { try await relay.run() }
        while try await outbox.backlog().count > 0 { try await Task.sleep(for: .milliseconds(5)) }
        let time = start.duration(to: .now)
        running.cancel()
        try await running.value
        await client.close()
        return time
    }

    private static func literal(_ value: PostgresValue) -> String {
        switch value {
        case .null: "NULL"
        case .text(let text): "'" + text.replacing("'", with: "''") + "'"
        case .integer(let integer): "\(integer)"
        case .boolean(let boolean): "\(boolean)"
        case .bytes(let bytes): "'\\x" + bytes.map { String(format: "%02x", $0) }.joined() + "'"
        case .integers, .texts: preconditionFailure("no column of the outbox is an array")
        }
    }

    private static func carryOut(_ script: String, at url: String) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("relay-\(EventID()).sql")
        try script.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let psql = Process()
        psql.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        psql.arguments = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.path, url]
        try psql.run()
        psql.waitUntilExit()
        guard psql.terminationStatus == 0 else {
            throw EventBusError(.rejected, "psql failed with status \(psql.terminationStatus)")
        }
    }
}
