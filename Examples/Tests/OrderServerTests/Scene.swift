import EventBus
import EventBusInMemory
import EventBusOutbox
import GRDB
import Logging
import OrderService
import ShopEvents
import Testing

@testable import OrderServer

/// An order service without its process: a database in memory, a bus on a broker in memory, a cache.
struct Scene: Sendable {
    let database: any DatabaseWriter
    let broker: InMemoryBroker
    let bus: EventBus
    let store: SQLiteOrderStore
    let cache = InMemoryCache()
    let orders: CachedOrderStore

    init(
        database: (any DatabaseWriter)? = nil,
        broker: InMemoryBroker = InMemoryBroker(),
        groupLimit: Int = 128,
        now: @escaping @Sendable () -> EventTime = { .now() }
    ) throws {
        let database = try database ?? DatabaseQueue()
        var migrator = DatabaseMigrator()
        OrderSchema.registerMigrations(in: &migrator)
        try migrator.migrate(database)
        self.database = database
        self.broker = broker
        var configuration = EventBusConfiguration()
        configuration.source = "orders"
        bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        store = SQLiteOrderStore(database, bus: bus, groupLimit: groupLimit, now: now)
        orders = CachedOrderStore(store, cache: cache, ttl: .seconds(60), logger: .quiet)
    }

    /// The events that wait in the outbox, oldest first.
    func outbox() async throws -> [StoredEvent] {
        try await database.read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM eventbus_outbox ORDER BY sequence").map { row in
                StoredEvent(
                    id: row["event_id"],
                    topic: row["topic"],
                    correlationID: row["correlation_id"],
                    causationID: row["causation_id"],
                    requiresSubscriber: row["requires_subscriber"]
                )
            }
        }
    }

    /// How many rows a table has.
    func count(of table: String) async throws -> Int {
        try await database.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0 }
    }

    /// Changes the database behind the store's back.
    func execute(_ sql: String) async throws {
        try await database.write { db in try db.execute(sql: sql) }
    }
}

/// What a test looks at of an event in the outbox.
struct StoredEvent: Hashable, Sendable {
    var id: String
    var topic: String
    var correlationID: String?
    var causationID: String?
    var requiresSubscriber: Bool
}

extension Logger {
    /// Writes nothing.
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension OrderDraft {
    /// A draft of so many pieces of one product.
    static func sample(_ quantity: Int = 2, of sku: String = "NW-011") throws -> OrderDraft {
        let line = try #require(OrderLine(sku: sku, quantity: quantity, unitPrice: Money(cents: 1400)))
        return try #require(OrderDraft(customerID: "VINET", shipCountry: "France", items: [line]))
    }
}

/// Waits until a condition holds, for 30 seconds at most.
func eventually(
    _ condition: @Sendable () async throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "the condition did not come true", sourceLocation: sourceLocation)
        await Task.yield()
    }
}
