import EventBus
import EventBusInMemory
import EventBusTesting
import InventoryService
import ServiceTestKit
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("The catalog", .timeLimit(.minutes(1)))
struct StockCatalogTests {
    private let file: StockFile
    private let replica: Replica

    init() async throws {
        file = try StockFile()
        replica = try Replica(file)
        _ = try await replica.store.open(with: [.sample("A", 5), .sample("B", 5)])
    }

    @Test("A product is read from the cache until it is changed")
    func cached() async throws {
        #expect(try await replica.catalog.item("A")?.quantity == 5)
        // Directly in the database, as only a test does.
        try await replica.database.execute("UPDATE stock SET quantity = 4 WHERE sku = 'A'")
        #expect(try await replica.catalog.item("A")?.quantity == 5)
        _ = try await replica.catalog.put("A", StockChange(quantity: 3))
        #expect(try await replica.catalog.item("A")?.quantity == 3)
    }

    @Test("A reservation immediately shows in its products, and leaves the others in the cache")
    func reservation() async throws {
        for sku in ["A", "B"] { _ = try await replica.catalog.item(sku) }
        try await replica.database.execute("UPDATE stock SET name = 'changed'")
        let store = CatalogedStockStore(store: replica.store, catalog: replica.catalog)
        _ = try await store.record(.reserved(["A": 2]), for: "1", fencingTokens: ["A": 1], handling: nil)
        #expect(try await replica.catalog.item("A")?.quantity == 3)
        #expect(try await replica.catalog.item("B")?.name == "B name")
    }

    @Test("A reservation that was recorded before shows too, because its process may have been killed")
    func repeated() async throws {
        _ = try await replica.store.record(.reserved(["A": 2]), for: "1", fencingTokens: ["A": 1], handling: nil)
        let cache = InMemoryCache(clock: ManualClock())
        let catalog = StockCatalog(
            store: replica.store,
            lock: InMemoryLock(clock: ManualClock()),
            cache: cache,
            logger: .quiet
        )
        try await cache.set(StockItem.sample("A", 5), for: "stock:A")
        #expect(try await catalog.item("A")?.quantity == 5)
        let store = CatalogedStockStore(store: replica.store, catalog: catalog)
        _ = try await store.record(.reserved(["A": 2]), for: "1", fencingTokens: [:], handling: nil)
        #expect(try await catalog.item("A")?.quantity == 3)
    }

    @Test("A formerly unknown product exists as soon as it is created")
    func unknown() async throws {
        #expect(try await replica.catalog.item("N") == nil)
        _ = try await replica.catalog.put("N", StockChange(quantity: 3))
        #expect(try await replica.catalog.item("N")?.quantity == 3)
    }

    @Test("A change waits for a reservation of the same product and does not overwrite it")
    func lock() async throws {
        let lock = InMemoryLock(clock: ManualClock())
        let catalog = StockCatalog(
            store: replica.store,
            lock: lock,
            cache: InMemoryCache(clock: ManualClock()),
            logger: .quiet
        )
        let (entered, enter) = AsyncStream<Void>.makeStream()
        let store = replica.store
        try await withThrowingTaskGroup { group in
            group.addTask {
                try await lock.withLock("stock.A") { lease in
                    let level = try await store.levels(of: ["A"])["A"] ?? 0
                    enter.yield()
                    await Task.yield()
                    _ = try await store.record(
                        .reserved(["A": level]),
                        for: "1",
                        fencingTokens: ["A": lease.fencingToken],
                        handling: nil
                    )
                }
            }
            for await _ in entered { break }
            _ = try await catalog.put("A", StockChange(quantity: 8))
            try await group.waitForAll()
        }
        #expect(try await store.allLevels()["A"] == 8)
    }

    @Test("Without the cache's store a change still takes effect")
    func cacheOutage() async throws {
        let catalog = StockCatalog(
            store: replica.store,
            lock: InMemoryLock(clock: ManualClock()),
            cache: CacheOutage(),
            logger: .quiet
        )
        #expect(try await catalog.put("A", StockChange(quantity: 8)).item.quantity == 8)
        #expect(try await catalog.item("A")?.quantity == 8)
    }
}

/// A cache whose store is unreachable.
private struct CacheOutage: Cache {
    func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try await compute(keys)
    }

    func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {
        throw EventBusError(.unavailable, "there is no Redis")
    }

    func remove(_ keys: [String]) async throws {
        throw EventBusError(.unavailable, "there is no Redis")
    }

    func removeAll(tag: String) async throws {
        throw EventBusError(.unavailable, "there is no Redis")
    }
}
