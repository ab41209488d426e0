public import EventBus
import ShopEvents

/// Puts aside what an order needs: all of it, or nothing.
///
/// It decides about an order under the locks of all its products and records the decision under the order's id. An
/// order that comes again gets the same answer, under the same event id.
public struct InventoryService: Sendable {
    /// The group under which the instances of this service share their work.
    public static let group = "inventory"

    private let bus: EventBus
    private let store: any StockStore
    private let lock: any DistributedLock

    /// A service on `bus` that keeps its stock in `store`, which `lock` guards.
    public init(bus: EventBus, store: some StockStore, lock: some DistributedLock) {
        self.bus = bus
        self.store = store
        self.lock = lock
    }

    /// Begins to listen for orders.
    @discardableResult
    public func subscribe(options: SubscriptionOptions = .init()) -> Subscription {
        bus.subscribe(to: OrderCreated.self, group: Self.group, options: options) { order, _ in
            try await answer(order)
        }
    }

    private func answer(_ order: OrderCreated) async throws {
        // Published also when it was decided before: the attempt that decided may have got no further.
        switch try await decide(order) {
        case .reserved(let quantities):
            try await bus.publish(stage: StockReserved(orderID: order.orderID, quantities: quantities))
        case .rejected(let reason, let skus):
            try await bus.publish(stage: StockRejected(orderID: order.orderID, reason: reason, skus: skus))
        }
    }

    private func decide(_ order: OrderCreated) async throws -> StockDecision {
        if let decided = try await store.decision(for: order.orderID) { return decided }
        let wanted = order.items.quantities
        let store = store
        return try await lock.withLocks(wanted.keys.map { "stock.\($0)" }) { leases in
            let decision = StockDecision(wanted: wanted, levels: try await store.levels(of: wanted.keys))
            let tokens = wanted.keys.compactMap { sku in
                leases.fencingToken(of: "stock.\(sku)").map { (sku, $0) }
            }
            try leases.check()
            return try await store.record(
                decision,
                for: order.orderID,
                fencingTokens: Dictionary(uniqueKeysWithValues: tokens)
            )
        }
    }
}
