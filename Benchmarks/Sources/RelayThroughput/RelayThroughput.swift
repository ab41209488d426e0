import EventBus
import EventBusInMemory
import EventBusOutbox
import EventBusPostgres
import EventBusRabbit
import Foundation
import GRDB

/// A comparison of publishing the same events directly and through the relays of outboxes, in turn, on the broker that
/// EVENTBUS_TEST_RABBITMQ_URL names. It prints a line for each round and the medians of the ratios:
///
///     RelayThroughput [EVENTS [ROUNDS]]
///
/// The events of each part stay in a separate quorum queue that nobody consumes, so use a disposable broker. One outbox
/// is a SQLite file in WAL mode that is synchronized with the disk at every commit. Another one is in the PostgreSQL
/// database that EVENTBUS_TEST_POSTGRES_URL names, if it names one: use a disposable server. The events are stored before
/// the clock starts, and it runs until the relay has deleted them. Before these rounds, it compares transactions that store
/// an order without and with an event.
@main
struct RelayThroughput {
    /// A way to publish events that returns the time it took.
    private typealias Way = @Sendable (EventBus, [Filling]) async throws -> Duration
    private typealias Relay = @Sendable (EventBus, [Filling], Confirmations) async throws -> Duration

    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let (events, rounds) = (numbers.first ?? 50_000, numbers.dropFirst().first ?? 5)
        guard events > 0, rounds > 0, let url = ProcessInfo.processInfo.environment["EVENTBUS_TEST_RABBITMQ_URL"] else {
            throw EventBusError(.invalidConfiguration, "give EVENTS and ROUNDS above 0, and EVENTBUS_TEST_RABBITMQ_URL")
        }
        let postgres = ProcessInfo.processInfo.environment["EVENTBUS_TEST_POSTGRES_URL"]
        var relays: [(name: String, publish: Relay)] = [("SQLite", publishThroughOutbox)]
        if let postgres {
            relays.append(("PostgreSQL", { try await PostgresRelay.publish($1, on: $0, at: postgres, $2) }))
        }
        let costs = try await costs(at: postgres, rounds: rounds)
        var ratios: [String: [Double]] = [:]
        for round in 1...rounds {
            let direct = try await rate(of: events, at: url, name: "direct-\(round)", publishDirectly)
            print("round \(round): direct \(Int(direct))/s")
            for (name, publish) in relays {
                // Direct publishes need no counter, so the relays pay for theirs.
                let counter = Confirmations()
                let relayed = try await rate(of: events, at: url, name: "\(name)-\(round)", through: [counter]) {
                    try await publish($0, $1, counter)
                }
                ratios[name, default: []].append(relayed / direct)
                print("round \(round): relay from \(name) \(Int(relayed))/s, ratio \(rounded(relayed / direct))")
            }
        }
        for (name, _) in relays {
            guard let ratios = ratios[name]?.sorted() else { continue }
            print("\(events) events, \(rounds) rounds: median ratio from \(name) \(rounded(ratios[rounds / 2]))")
        }
        for (name, costs) in costs.sorted(by: { $0.key < $1.key }) {
            let ratio = costs.map(\.ratio).sorted()[rounds / 2]
            print("\(rounds) rounds: a transaction with an event in \(name) takes \(rounded(ratio)) times as long")
        }
    }

    /// Measures the cost of an event in the user's transaction, in every database in turn.
    private static func costs(at postgres: String?, rounds: Int) async throws -> [String: [InsertCost.Cost]] {
        // The bus only encodes the events.
        let bus = EventBus(transport: .inMemory())
        var costs: [String: [InsertCost.Cost]] = [:]
        for round in 1...rounds {
            costs["SQLite", default: []].append(try await InsertCost.inSQLite(on: bus))
            if let postgres {
                costs["PostgreSQL", default: []].append(try await InsertCost.inPostgres(on: bus, at: postgres))
            }
            for (name, costs) in costs.sorted(by: { $0.key < $1.key }) {
                guard let cost = costs.last else { continue }
                let (alone, withEvent) = (Int(cost.alone), Int(cost.withEvent))
                print("round \(round): a transaction in \(name) \(alone) µs, with an event \(withEvent) µs")
            }
        }
        return costs
    }

    private static func rounded(_ ratio: Double) -> String { String(format: "%.2f", ratio) }

    /// Returns the number of events a second that are published in the given way to a separate queue.
    private static func rate(
        of events: Int,
        at url: String,
        name: String,
        through middleware: [any PublishMiddleware] = [],
        _ publish: @escaping Way
    ) async throws -> Double {
        var rabbit = try RabbitConfiguration(uri: url)
        rabbit.exchange = "bench-\(name)"
        let queue = QueueSpecification(
            group: "bench-\(name)",
            name: "filling",
            patterns: ["bench.filling"],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: rabbit)
        var configuration = EventBusConfiguration()
        configuration.publishTimeout = .seconds(120)
        configuration.publishMiddleware = middleware
        let bus = try EventBus(transport: .rabbit(rabbit), configuration: configuration)
        let time = try await bus.withRunning { try await publish(bus, (0..<events).map(Filling.init)) }
        return Double(events) / (time / .seconds(1))
    }

    private static let publishDirectly: Way = { bus, events in
        let start = ContinuousClock.now
        for result in try await bus.publish(contentsOf: events) {
            guard try result.get().outcome == .routed else {
                throw EventBusError(.unroutable, "the queue is not bound")
            }
        }
        return start.duration(to: .now)
    }

    private static let publishThroughOutbox: Relay = { bus, events, confirmations in
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("relay-\(EventID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try DatabasePool(path: folder.appendingPathComponent("outbox.sqlite").path)
        try await database.writeWithoutTransaction { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
        let outbox = Outbox(bus: bus)
        try await database.write { db in
            try Outbox.createTables(in: db)
            for event in events { try outbox.publish(event, in: db) }
        }
        let relay = OutboxRelay(database: database, bus: bus)
        let start = ContinuousClock.now
        let running = Task { try await relay.run() }
        try await confirmations.wait(for: events.count) {
            try await database.read { db in try outbox.backlog(in: db).count } == 0
        }
        let time = start.duration(to: .now)
        running.cancel()
        try await running.value
        return time
    }
}

/// An event of about 300 bytes of JSON.
struct Filling: Event {
    static let topic: Topic = "bench.filling"
    var number: Int
    var text = String(repeating: "filling ", count: 32)

    init(number: Int) {
        self.number = number
    }
}
