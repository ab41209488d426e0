import EventBus
import EventBusOutbox
import EventBusTesting
import Foundation
import Testing

@testable import EventBusPostgres

/// A service whose database driver knows nothing of the outbox.
@Suite("A foreign client, psycopg", .timeLimit(.minutes(5)))
struct PsycopgTests {
    private struct Transaction: Encodable {
        var worker: Int
        var sql: String
        var values: [Value]
        var commits: Bool
    }

    private struct Value: Encodable {
        var value: PostgresValue

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch value {
            case .null, .integers, .texts: try container.encodeNil()
            case .text(let text): try container.encode(text)
            case .integer(let number): try container.encode(number)
            case .boolean(let flag): try container.encode(flag)
            case .bytes(let bytes): try container.encode(["base64": Data(bytes).base64EncodedString()])
            }
        }
    }

    @Test("Of many transactions, every third rolled back, exactly the committed events arrive, in order for each key")
    func publishesCommitted() async throws {
        let count = ProcessInfo.processInfo.environment["EVENTBUS_TEST_TRANSACTIONS"].flatMap { Int($0) } ?? 1000
        let (workers, keys) = (4, 20)
        let scene = Scene(try await TestPostgres.database())
        try await scene.database.client.run(PostgresStatement("CREATE TABLE effect (worker int)"))
        let transactions = try (0..<count).map { number in
            // All transactions of a key follow one another.
            let row = try scene.outbox.row(for: OrderPlaced(orderID: "key-\(number % keys)", number: number))
            return Transaction(
                worker: number % keys % workers,
                sql: row.sql { _ in "%s" },
                values: row.values.map(Value.init),
                commits: number % 3 != 0
            )
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "psycopg-\(UUID().uuidString).json")
        try JSONEncoder().encode(transactions).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let committed = (0..<count).filter { $0 % 3 != 0 }
        try await scene.run {
            try await Psycopg.run([scene.database.url, file.path])
            try await eventually("all should arrive", within: .seconds(240)) {
                scene.arrived.count >= committed.count
            }
            try await eventually("the outbox should be empty") { try await scene.outbox.backlog().count == 0 }
        }
        let arrived = scene.arrived.all
        #expect(arrived.map(\.number).sorted() == committed)
        for (_, orders) in Dictionary(grouping: arrived, by: \.orderID) {
            #expect(orders.map(\.number) == orders.map(\.number).sorted())
        }
        #expect(try await scene.database.integer("SELECT count(*) FROM effect") == committed.count)
    }
}

/// The Python client psycopg from PyPI, in a separate virtual environment.
///
/// `EVENTBUS_TEST_PSYCOPG_PYTHON` names a Python that has it already.
enum Psycopg {
    private static let python = Task { () throws -> String in
        if let python = ProcessInfo.processInfo.environment["EVENTBUS_TEST_PSYCOPG_PYTHON"] { return python }
        // In the checkout, because another user could prepare a predictable folder in a directory that everyone may
        // write to.
        let directory = "\(folder(3))/.venv/psycopg"
        // Other processes may be creating it.
        let script = """
            set -e
            "$0/bin/python" -c 'import psycopg' 2>/dev/null && exit
            python3 -m venv "$0"
            "$0/bin/python" -m pip install --quiet 'psycopg[binary]==3.2.3'
            """
        _ = try await EventBusPostgresTests.run("mkdir", ["-p", "\(folder(3))/.venv"])
        _ = try await EventBusPostgresTests.run("flock", ["\(directory).lock", "sh", "-c", script, directory])
        return "\(directory)/bin/python"
    }

    /// Runs `psycopg_client.py`.
    static func run(_ arguments: [String]) async throws {
        let script = "\(folder(1))/Interoperation/psycopg_client.py"
        _ = try await EventBusPostgresTests.run(try await python.value, [script] + arguments)
    }
}
