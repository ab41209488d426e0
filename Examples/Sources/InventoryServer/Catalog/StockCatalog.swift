import EventBus
import InventoryService
import Logging

/// The products as clients see them: read through a cache, changed under the lock that reservations use.
struct StockCatalog: Sendable {
    /// For how long a product may be shown as it was, if the word of its change does not get through.
    static let cacheLife = Duration.seconds(5)
    /// How long a client's change waits for reservations of the same product.
    static let lockWait = Duration.seconds(3)

    private let store: SQLiteStockStore
    private let lock: any DistributedLock
    private let cache: any Cache
    private let logger: Logger

    /// The products in `store`, which `lock` guards and `cache` spares.
    init(store: SQLiteStockStore, lock: some DistributedLock, cache: some Cache, logger: Logger) {
        self.store = store
        self.lock = lock
        self.cache = cache
        self.logger = logger
    }

    /// A product; `nil` if there is none with this sku.
    func item(_ sku: String) async throws -> StockItem? {
        let store = store
        return try await cache.value(for: key(sku), as: StockItem.self, options: CacheOptions(ttl: Self.cacheLife)) {
            try await store.item(sku)
        }
    }

    /// Products in the order of their skus, from the one that follows `previous`; never from the cache.
    func items(after previous: String?, limit: Int) async throws -> [StockItem] {
        try await store.items(after: previous, limit: limit)
    }

    /// Sets how many pieces of a product there are; makes the product if it is unknown. Done twice it does no harm.
    ///
    /// - Returns: The product as it is then, and whether it is a new one.
    /// - Throws: What the lock throws; `StaleFencingToken`; a `DatabaseError` of GRDB.
    func put(_ sku: String, _ change: StockChange) async throws -> (item: StockItem, isNew: Bool) {
        let store = store
        let result = try await lock.withLock("stock.\(sku)", wait: Self.lockWait) { lease in
            try lease.check()
            return try await store.put(sku, change, fencingToken: lease.fencingToken)
        }
        await forget([sku])
        return result
    }

    /// Takes products out of the cache: call it after each change.
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
