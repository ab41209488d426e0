import EventBus
import EventBusOutbox
import EventBusPostgres
import Foundation
import GRDB

/// The time of a transaction that stores one order, without and with an event in the outbox. No relay runs meanwhile.
///
/// SQLite synchronizes with the disk at every commit. The disposable PostgreSQL does not, so that nothing hides the cost of
/// the event. `psql` sends one statement after the other, as most drivers do, so that the event takes a round trip.
enum InsertCost {
    static let transactions = 2000

    /// The microseconds of one transaction.
    struct Cost {
        var alone: Double
        var withEvent: Double
        var ratio: Double { withEvent / alone }
    }

    static func inPostgres(on bus: EventBus, at url: String) async throws -> Cost {
        let client = try PostgresClient(PostgresConfiguration(url))
        try await client.migrate()
        let outbox = PostgresOutbox(client, bus: bus)
        await client.close()
        let table = "CREATE TABLE IF NOT EXISTS bench_orders (number integer, text text);\n"
        try Psql.run(table + "TRUNCATE bench_orders;\n", at: url)
        let events = (0..<transactions).map(Filling.init)
        func script(_ statement: (Filling) throws -> String) rethrows -> String {
            try events.reduce(into: "") { script, event in
                script += "BEGIN;\nINSERT INTO bench_orders VALUES (\(event.number), '\(event.text)');\n"
                script += try statement(event) + "COMMIT;\n"
            }
        }
        let start = try Psql.run("SELECT 1;\n", at: url)
        let alone = try Psql.run(script { _ in "" }, at: url) - start
        let withEvent = try Psql.run(script { Psql.statement(try outbox.row(for: $0)) }, at: url) - start
        return cost(alone, withEvent)
    }

    static func inSQLite(on bus: EventBus) async throws -> Cost {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("insert-\(EventID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var configuration = Configuration()
        configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
        let path = folder.appendingPathComponent("outbox.sqlite").path
        let database = try DatabasePool(path: path, configuration: configuration)
        let outbox = Outbox(bus: bus)
        try await database.write { db in
            try Outbox.createTables(in: db)
            try db.execute(sql: "CREATE TABLE bench_orders (number INTEGER, text TEXT)")
        }
        func time(isPublishing: Bool) async throws -> Duration {
            let start = ContinuousClock.now
            for event in (0..<transactions).map(Filling.init) {
                try await database.write { db in
                    try db.execute(
                        sql: "INSERT INTO bench_orders VALUES (?, ?)",
                        arguments: [event.number, event.text]
                    )
                    if isPublishing { try outbox.publish(event, in: db) }
                }
            }
            return start.duration(to: .now)
        }
        return cost(try await time(isPublishing: false), try await time(isPublishing: true))
    }

    private static func cost(_ alone: Duration, _ withEvent: Duration) -> Cost {
        Cost(
            alone: alone / .microseconds(1) / Double(transactions),
            withEvent: withEvent / .microseconds(1) / Double(transactions)
        )
    }
}
