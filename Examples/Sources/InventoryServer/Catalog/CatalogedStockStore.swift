import EventBus
import InventoryService

/// A store that invalidates the catalog after each change.
struct CatalogedStockStore: StockStore {
    let store: SQLStockStore
    let catalog: StockCatalog

    /// Returns the number of items of each of these products.
    func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int] {
        try await store.levels(of: skus)
    }

    /// Returns the decision about an order.
    func decision(for orderID: String) async throws -> StockDecision? {
        try await store.decision(for: orderID)
    }

    /// Records a decision, and removes the changed products from the cache.
    ///
    /// It also does so if the decision was recorded before, because the process that recorded it may have been killed
    /// before it reached the cache.
    func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision {
        let stands = try await store.record(
            decision,
            for: orderID,
            fencingTokens: fencingTokens,
            handling: context
        )
        if case .reserved(let quantities) = stands { await catalog.forget(Array(quantities.keys)) }
        return stands
    }

    /// Returns the remaining number of items of each product.
    func allLevels() async throws -> [String: Int] {
        try await store.allLevels()
    }

    /// Returns every decision by order.
    func allDecisions() async throws -> [String: StockDecision] {
        try await store.allDecisions()
    }
}
