import EventBus
import Logging
import OrderService

/// Orders that are looked at are kept in a cache for a few seconds, until their status changes.
///
/// A cache that cannot be reached costs nothing but speed: then every look goes to the database. A status change whose
/// removal does not reach the cache shows when the entry's time is over.
struct CachedOrderStore: OrderStore {
    /// The orders themselves.
    let store: SQLiteOrderStore
    private let cache: any Cache
    private let options: CacheOptions
    private let logger: Logger

    /// Looks at `store` through `cache`.
    ///
    /// - Parameters:
    ///   - ttl: How long an order is kept there at most.
    ///   - logger: Where it is noted that the cache could not be told of a change.
    init(_ store: SQLiteOrderStore, cache: some Cache, ttl: Duration, logger: Logger) {
        self.store = store
        self.cache = cache
        self.options = CacheOptions(ttl: ttl)
        self.logger = logger
    }

    /// The order as clients see it; `nil` if there is none with this id, which is not remembered.
    func view(of id: String) async throws -> OrderView? {
        try await cache.value(for: id, as: OrderView.self, options: options) { [store] in
            try await store.record(of: id).map(OrderView.init)
        }
    }

    /// Stores an order as placed, unless there is one with its id.
    func insert(_ order: Order) async throws -> Order {
        try await store.insert(order)
    }

    /// The order with this id and how far it has come.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)? {
        try await store.order(id)
    }

    /// Ends an order that is placed, and removes it from the cache.
    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus? {
        let stands = try await store.end(id, as: status, handling: context)
        do {
            // Also for a duplicate: the process that handled it first may have been killed before it came to this.
            try await cache.remove(id)
        } catch {
            logger.info(
                "the cache could not be told that an order changed; it may show the old status until its time is over",
                metadata: ["order": "\(id)", "error": "\(error)"]
            )
        }
        return stands
    }

    /// Every order.
    func all() async throws -> [(order: Order, status: OrderStatus)] {
        try await store.all()
    }
}
