public import EventBus
import ShopEvents

/// Stock in the memory of one process. A decision is announced when it is recorded, and again if it is recorded again.
///
/// It does not check a decision against its stock. Lock and fencing token ensure that no two decisions use the same
/// stock. Without them the stock would fall below zero and reveal the error.
public actor InMemoryStockStore: StockStore {
    private let bus: EventBus
    private var levels: [String: Int]
    private var decisions: [String: StockDecision] = [:]
    private var lastTokens: [String: UInt64] = [:]

    /// Creates a store with these products that announces decisions on `bus`. If a SKU occurs twice, the first product
    /// counts.
    public init(_ items: some Sequence<StockItem>, bus: EventBus) {
        self.bus = bus
        levels = Dictionary(items.map { ($0.sku, $0.quantity) }) { first, _ in first }
    }

    /// Returns the number of items of each of these products.
    public func levels(of skus: some Collection<String> & Sendable) -> [String: Int] {
        skus.reduce(into: [:]) { $0[$1] = levels[$1] }
    }

    /// Returns the decision about an order.
    public func decision(for orderID: String) -> StockDecision? {
        decisions[orderID]
    }

    /// Records a decision, removes the reserved items from the stock, and announces the decision.
    public func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision {
        let stands = try decisions[orderID] ?? take(decision, for: orderID, fencingTokens: fencingTokens)
        try await bus.publish(stands.event(for: orderID), options: PublishOptions(requiresSubscriber: true))
        return stands
    }

    private func take(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64]
    ) throws -> StockDecision {
        for (sku, token) in fencingTokens {
            if let seen = lastTokens[sku], token < seen { throw StaleFencingToken(sku: sku, token: token, seen: seen) }
        }
        lastTokens.merge(fencingTokens) { _, new in new }
        decisions[orderID] = decision
        if case .reserved(let quantities) = decision {
            for (sku, quantity) in quantities { levels[sku, default: 0] -= quantity }
        }
        return decision
    }

    /// Returns the remaining number of items of each product.
    public func allLevels() -> [String: Int] { levels }

    /// Returns every decision by order.
    public func allDecisions() -> [String: StockDecision] { decisions }
}
