public import EventBus

/// A stock store whose decisions are read through a cache.
///
/// The decision about an order never changes, so a cached decision is never wrong. The absence of a decision is not
/// cached.
public struct CachedDecisions<Store: StockStore>: StockStore {
    private let store: Store
    private let cache: any Cache
    private let life: Duration

    /// Creates a store that caches the decisions of `store` in `cache` for `life`. Defaults to ten minutes, after which
    /// an order is hardly ever redelivered.
    public init(of store: Store, in cache: some Cache, life: Duration = .seconds(600)) {
        self.store = store
        self.cache = cache
        self.life = life
    }

    /// Returns the number of items of each of these products.
    public func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int] {
        try await store.levels(of: skus)
    }

    /// Returns the decision about an order.
    public func decision(for orderID: String) async throws -> StockDecision? {
        let store = store
        return try await cache.value(for: key(orderID), options: CacheOptions(ttl: life)) {
            try await store.decision(for: orderID) as StockDecision?
        }
    }

    /// Records a decision and stores it in the cache.
    public func record(
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
        // If this fails, the decision is found in the store.
        try? await cache.set(stands, for: key(orderID), options: CacheOptions(ttl: life))
        return stands
    }

    /// Returns the remaining number of items of each product.
    public func allLevels() async throws -> [String: Int] {
        try await store.allLevels()
    }

    /// Returns every decision by order.
    public func allDecisions() async throws -> [String: StockDecision] {
        try await store.allDecisions()
    }

    private func key(_ orderID: String) -> String { "decision/\(orderID)" }
}
