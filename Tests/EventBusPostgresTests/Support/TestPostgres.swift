import EventBus
import EventBusOutbox
import Foundation
import Glibc
import Logging
import Testing

@testable import EventBusPostgres

/// A PostgreSQL server for tests: the one that the environment names, or one that `Scripts/brokers` starts.
struct TestPostgres: Sendable {
    /// The connection string of the server.
    var url: String
    /// The directory of `Scripts/brokers` for the server, or `nil` if the environment names the server.
    var directory: String?

    private static let sharedServer = Task { () throws -> TestPostgres in
        let environment = ProcessInfo.processInfo.environment
        if let url = environment["EVENTBUS_TEST_POSTGRES_URL"] { return TestPostgres(url: url) }
        return try await TestPostgres.start()
    }

    /// Starts a separate server for tests that harm it. It ends with this process at the latest.
    ///
    /// - Parameter directory: The directory of its files. Defaults to a new one.
    static func start(in directory: String? = nil) async throws -> TestPostgres {
        let place = directory.map { ["--dir", $0] } ?? []
        let output = try await run(script, ["start", "--only", "postgres", "--for", "\(getpid())"] + place)
        var exports: [String: String] = [:]
        for line in output.split(separator: "\n") where line.hasPrefix("export ") {
            let parts = line.dropFirst("export ".count).split(separator: "=", maxSplits: 1)
            if parts.count == 2 { exports[String(parts[0])] = String(parts[1]) }
        }
        let url = try #require(exports["EVENTBUS_TEST_POSTGRES_URL"], "no server: \(output)")
        return TestPostgres(url: url, directory: exports["EVENTBUS_TEST_BROKERS"])
    }

    /// Returns a new database on the server that tests share.
    static func database() async throws -> TestDatabase {
        try await sharedServer.value.database()
    }

    /// Returns a new database on the server.
    func database() async throws -> TestDatabase {
        let name = "test_\(UUID().uuidString.lowercased().replacing("-", with: "_"))"
        try await run("psql", [url, "-qc", "CREATE DATABASE \(name)"])
        let base = url.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        return try await TestDatabase(url: "\(base)/\(name)")
    }

    /// Stops the server and removes its files.
    func stop() async {
        guard let directory else { return }
        _ = try? await run(Self.script, ["stop", directory])
    }

    /// Kills the server with signal 9.
    func kill() throws {
        let text = try String(contentsOfFile: "\(try #require(directory))/postgres.pid", encoding: .utf8)
        Glibc.kill(try #require(pid_t(text.filter(\.isNumber))), SIGKILL)
    }

    /// Starts the server again after it was killed. Returns when it accepts connections.
    func restart() async throws {
        _ = try await run(Self.script, ["restart-postgres", try #require(directory)])
    }

    /// Adds a synchronous standby, which has every commit that was answered from now on.
    ///
    /// - Returns: The port of the standby.
    func addStandby() async throws -> Int {
        let output = try await run(Self.script, ["standby-postgres", try #require(directory)])
        return try #require(output.firstMatch(of: /127\.0\.0\.1:([0-9]+)/).flatMap { Int($0.1) }, "\(output)")
    }

    /// Makes the standby accept writes. Returns when it does.
    func promoteStandby() async throws {
        _ = try await run(Self.script, ["promote-postgres", try #require(directory)])
    }

    private static var script: String { "\(folder(3))/Scripts/brokers" }
}

/// A database with the tables of outbox and inbox, for one test.
struct TestDatabase: Sendable {
    let url: String
    let client: PostgresClient

    init(url: String) async throws {
        self.url = url
        client = try PostgresClient(PostgresConfiguration(url), logger: .quiet)
        try await client.migrate()
    }

    /// Returns a separate connection without the settings of the outbox, as another process would have.
    func session() throws -> TestSession {
        TestSession(
            try PostgresConnection(PostgresConfiguration(url), logger: .quiet, hasSettings: false)
        )
    }

    /// Returns the one integer that a query finds.
    func integer(_ sql: String) async throws -> Int64 {
        try await client.run(PostgresStatement(sql)).integer(0, 0)
    }

    /// Waits until the outbox holds this many events.
    func waitForBacklog(of count: Int64) async throws {
        while try await integer("SELECT count(*) FROM eventbus_outbox") != count { await Task.yield() }
    }
}

/// A connection of a service, with transactions.
struct TestSession: Sendable {
    private let connection: PostgresConnection

    init(_ connection: PostgresConnection) {
        self.connection = connection
    }

    func execute(_ statements: PostgresStatement...) async throws -> [PostgresResult] {
        try await connection.run(statements).results
    }

    func execute(_ sql: String) async throws {
        _ = try await connection.run([PostgresStatement(sql)])
    }

    func close() async { await connection.close() }
}

extension Logger {
    /// A logger that discards its messages.
    static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// A collection that several tasks of a test append to.
final class Collected<Element: Sendable>: Sendable {
    private let state = Locked<[Element]>([])

    var all: [Element] { state.withLock { $0 } }
    var count: Int { state.withLock { $0.count } }

    func add(_ element: Element) {
        state.withLock { $0.append(element) }
    }
}

/// An event with a key.
struct OrderPlaced: Event, Equatable {
    static let topic: Topic = "order.placed"
    var orderID: String
    var number = 0
    var partitionKey: String? { orderID }
}

/// An event without a key.
struct NoteTaken: Event, Equatable {
    static let topic: Topic = "note.taken"
    var number: Int
}
