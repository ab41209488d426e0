public import EventBus

/// A stock store whose decisions are read through a cache.
///
/// What was decided about an order stands for ever, so a cached decision is never wrong. That nothing was decided yet is
/// not cached.
public struct CachedDecisions<Store: StockStore>: StockStore {
    private let store: Store
    private let cache: any Cache
    private let life: Duration

    /// The decisions of `store`, each kept in `cache` for `life`: ten minutes unless stated, after which an order hardly
    /// comes again.
    public init(of store: Store, in cache: some Cache, life: Duration = .seconds(600)) {
        self.store = store
        self.cache = cache
        self.life = life
    }

    /// How many pieces of each of these products there are.
    public func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int] {
        try await store.levels(of: skus)
    }

    /// What was decided about an order.
    public func decision(for orderID: String) async throws -> StockDecision? {
        let store = store
        return try await cache.value(for: key(orderID), options: CacheOptions(ttl: life)) {
            try await store.decision(for: orderID) as StockDecision?
        }
    }

    /// Records a decision, and has the cache know it.
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
        // Without it the decision is found in the store.
        try? await cache.set(stands, for: key(orderID), options: CacheOptions(ttl: life))
        return stands
    }

    /// How many pieces of each product are left.
    public func allLevels() async throws -> [String: Int] {
        try await store.allLevels()
    }

    /// Every decision by order.
    public func allDecisions() async throws -> [String: StockDecision] {
        try await store.allDecisions()
    }

    private func key(_ orderID: String) -> String { "decision/\(orderID)" }
}
