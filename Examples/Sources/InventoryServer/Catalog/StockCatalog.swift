import EventBus
import InventoryService
import Logging

/// The products as clients see them, read through a cache and changed under the lock that reservations use.
struct StockCatalog: Sendable {
    /// The time for which an outdated product may be shown if the invalidation does not arrive.
    static let cacheLife = Duration.seconds(5)
    /// The time for which a client's change waits for reservations of the same product.
    static let lockWait = Duration.seconds(3)

    private let store: SQLStockStore
    private let lock: any DistributedLock
    private let cache: any Cache
    private let logger: Logger

    /// Creates a catalog of the products in `store`, which `lock` guards and `cache` relieves.
    init(store: SQLStockStore, lock: some DistributedLock, cache: some Cache, logger: Logger) {
        self.store = store
        self.lock = lock
        self.cache = cache
        self.logger = logger
    }

    /// Returns a product, or `nil` if there is none with this SKU.
    func item(_ sku: String) async throws -> StockItem? {
        let store = store
        return try await cache.value(for: key(sku), as: StockItem.self, options: CacheOptions(ttl: Self.cacheLife)) {
            try await store.item(sku)
        }
    }

    /// Returns products in the order of their SKUs, after `previous`. They are never read from the cache.
    func items(after previous: String?, limit: Int) async throws -> [StockItem] {
        try await store.items(after: previous, limit: limit)
    }

    /// Sets the number of items of a product, and creates the product if it is unknown. Repeating the call is harmless.
    ///
    /// - Returns: The product after the change, and whether it is new.
    /// - Throws: Errors of the lock; `StaleFencingToken`; errors of the database.
    func put(_ sku: String, _ change: StockChange) async throws -> (item: StockItem, isNew: Bool) {
        let store = store
        let result = try await lock.withLock("stock.\(sku)", wait: Self.lockWait) { lease in
            try lease.check()
            return try await store.put(sku, change, fencingToken: lease.fencingToken)
        }
        await forget([sku])
        return result
    }

    /// Removes products from the cache. Call it after each change.
    func forget(_ skus: [String]) async {
        do {
            try await cache.remove(skus.map(key))
        } catch {
            logger.warning(
                "changed products could not be taken out of the cache and may be shown as they were for a while",
                metadata: [
                    "skus": "\(skus.joined(separator: " "))", "seconds": "\(Self.cacheLife)", "error": "\(error)",
                ]
            )
        }
    }

    private func key(_ sku: String) -> String { "stock:\(sku)" }
}
