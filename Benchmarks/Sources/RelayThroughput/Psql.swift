import EventBus
import EventBusPostgres
import Foundation

/// The client program of PostgreSQL, which stands for the user's own driver.
enum Psql {
    /// Returns the statement that stores an event, with its values as literals.
    static func statement(_ row: PostgresStatement) -> String { row.sql { literal(row.values[$0 - 1]) } + ";\n" }

    /// Runs a script, and returns the time that the whole program takes.
    @discardableResult
    static func run(_ script: String, at url: String) throws -> Duration {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("relay-\(EventID()).sql")
        try script.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let psql = Process()
        psql.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        psql.arguments = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.path, url]
        let start = ContinuousClock.now
        try psql.run()
        psql.waitUntilExit()
        let time = start.duration(to: .now)
        guard psql.terminationStatus == 0 else {
            throw EventBusError(.rejected, "psql failed with status \(psql.terminationStatus)")
        }
        return time
    }

    private static func literal(_ value: PostgresValue) -> String {
        switch value {
        case .null: "NULL"
        case .text(let text): "'" + text.replacing("'", with: "''") + "'"
        case .integer(let integer): "\(integer)"
        case .boolean(let boolean): "\(boolean)"
        case .bytes(let bytes): "'\\x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
        case .integers, .texts: preconditionFailure("no column of the outbox is an array")
        }
    }
}
