import EventBus
import EventBusInMemory
import EventBusOutbox
import GRDB
import OrderService
import ServiceStorage
import ServiceTestKit
import ShopEvents
import Testing

@testable import OrderServer

/// An order service without its process: an in-memory database, a bus on an in-memory broker, and a cache.
struct Scene: Sendable {
    let database: any DatabaseWriter
    let broker: InMemoryBroker
    let bus: EventBus
    let store: SQLOrderStore
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
        store = SQLOrderStore(.sqlite(database), bus: bus, groupLimit: groupLimit, now: now)
        orders = CachedOrderStore(store, cache: cache, ttl: .seconds(60), logger: .quiet)
    }
}

extension OrderDraft {
    /// Returns a draft with a number of items of one product.
    static func sample(_ quantity: Int = 2, of sku: String = "NW-011") throws -> OrderDraft {
        let line = try #require(OrderLine(sku: sku, quantity: quantity, unitPrice: Money(cents: 1400)))
        return try #require(OrderDraft(customerID: "VINET", shipCountry: "France", items: [line]))
    }
}
