public import EventBus
import ShopEvents

/// A service that reserves all items of an order, or none.
///
/// It decides about an order under the locks of all its products, and records the decision under the order's id. A
/// repeated order gets the same answer, under the same event id, which the bus derives.
public struct InventoryService: Sendable {
    /// The group in which the instances of this service share their work.
    public static let group = "inventory"

    private let bus: EventBus
    private let store: any StockStore
    private let lock: any DistributedLock

    /// Creates a service on `bus` that keeps its stock in `store`, which `lock` guards.
    public init(bus: EventBus, store: some StockStore, lock: some DistributedLock) {
        self.bus = bus
        self.store = store
        self.lock = lock
    }

    /// Subscribes to orders.
    @discardableResult
    public func subscribe(options: SubscriptionOptions = .init()) -> Subscription {
        bus.subscribe(to: OrderCreated.self, group: Self.group, options: options) { order, context in
            try await decide(order, handling: context)
        }
    }

    private func decide(_ order: OrderCreated, handling context: EventContext) async throws {
        if let decided = try await store.decision(for: order.orderID) {
            // The attempt that decided may have stopped here. Recording the decision again announces it again if
            // necessary.
            _ = try await store.record(decided, for: order.orderID, fencingTokens: [:], handling: context)
            return
        }
        let wanted = order.items.quantities
        let store = store
        try await lock.withLocks(wanted.keys.map { "stock.\($0)" }) { leases in
            let decision = StockDecision(wanted: wanted, levels: try await store.levels(of: wanted.keys))
            let tokens = wanted.keys.compactMap { sku in
                leases.fencingToken(of: "stock.\(sku)").map { (sku, $0) }
            }
            try leases.check()
            _ = try await store.record(
                decision,
                for: order.orderID,
                fencingTokens: Dictionary(uniqueKeysWithValues: tokens),
                handling: context
            )
        }
    }
}
