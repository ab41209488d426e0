public import EventBus
import ShopEvents

/// Stock in the memory of one process; what was decided is announced as it is recorded, and again if it is recorded
/// again.
///
/// It does not check a decision against its figures: that two are never made on the same ones is the work of lock and
/// fencing token, and were it not done, the stock would fall below zero and show it.
public actor InMemoryStockStore: StockStore {
    private let bus: EventBus
    private var levels: [String: Int]
    private var decisions: [String: StockDecision] = [:]
    private var lastTokens: [String: UInt64] = [:]

    /// A store with these products; of two with the same sku the first counts. It announces on `bus`.
    public init(_ items: some Sequence<StockItem>, bus: EventBus) {
        self.bus = bus
        levels = Dictionary(items.map { ($0.sku, $0.quantity) }) { first, _ in first }
    }

    /// How many pieces of each of these products there are.
    public func levels(of skus: some Collection<String> & Sendable) -> [String: Int] {
        skus.reduce(into: [:]) { $0[$1] = levels[$1] }
    }

    /// What was decided about an order.
    public func decision(for orderID: String) -> StockDecision? {
        decisions[orderID]
    }

    /// Records a decision, takes what it reserves out of the stock, and announces it.
    public func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision {
        let stands = try decisions[orderID] ?? take(decision, for: orderID, fencingTokens: fencingTokens)
        try await bus.publish(stage: stands.event(for: orderID))
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

    /// How many pieces of each product are left.
    public func allLevels() -> [String: Int] { levels }

    /// Every decision by order.
    public func allDecisions() -> [String: StockDecision] { decisions }
}
