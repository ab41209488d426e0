import EventBus
import InventoryService

/// A store after whose changes the catalog is shown anew.
struct CatalogedStockStore: StockStore {
    let store: SQLiteStockStore
    let catalog: StockCatalog

    /// How many pieces of each of these products there are.
    func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int] {
        try await store.levels(of: skus)
    }

    /// What was decided about an order.
    func decision(for orderID: String) async throws -> StockDecision? {
        try await store.decision(for: orderID)
    }

    /// Records a decision, and takes the products it changed out of the cache.
    ///
    /// Also when it was recorded before: the process that did it may have been killed before it came to the cache.
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

    /// How many pieces of each product are left.
    func allLevels() async throws -> [String: Int] {
        try await store.allLevels()
    }

    /// Every decision by order.
    func allDecisions() async throws -> [String: StockDecision] {
        try await store.allDecisions()
    }
}
