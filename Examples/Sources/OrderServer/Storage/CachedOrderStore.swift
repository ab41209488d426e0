import EventBus
import Logging
import OrderService

/// A store that caches requested orders for a few seconds, until their status changes.
///
/// If the cache is unreachable, every request reads the database and is only slower. If the invalidation of a status
/// change does not reach the cache, the change becomes visible when the entry expires.
struct CachedOrderStore: OrderStore {
    /// The store of the orders.
    let store: SQLOrderStore
    private let cache: any Cache
    private let options: CacheOptions
    private let logger: Logger

    /// Creates a store that reads `store` through `cache`.
    ///
    /// - Parameters:
    ///   - ttl: The maximum time for which an order is cached.
    ///   - logger: The logger for failed invalidations.
    init(_ store: SQLOrderStore, cache: some Cache, ttl: Duration, logger: Logger) {
        self.store = store
        self.cache = cache
        self.options = CacheOptions(ttl: ttl)
        self.logger = logger
    }

    /// Returns the order as clients see it, or `nil` if there is none with this id. The absence is not cached.
    func view(of id: String) async throws -> OrderView? {
        try await cache.value(for: id, as: OrderView.self, options: options) { [store] in
            try await store.record(of: id).map(OrderView.init)
        }
    }

    /// Stores an order as placed, unless there is one with its id.
    func insert(_ order: Order) async throws -> Order {
        try await store.insert(order)
    }

    /// Returns the order with this id and its status.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)? {
        try await store.order(id)
    }

    /// Ends a placed order, and removes it from the cache.
    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus? {
        let stands = try await store.end(id, as: status, handling: context)
        do {
            // Also for a duplicate, because the process that handled it first may have been killed before this step.
            try await cache.remove(id)
        } catch {
            logger.info(
                "the cache could not be told that an order changed; it may show the old status until its time is over",
                metadata: ["order": "\(id)", "error": "\(error)"]
            )
        }
        return stands
    }

    /// Returns every order.
    func all() async throws -> [(order: Order, status: OrderStatus)] {
        try await store.all()
    }
}
