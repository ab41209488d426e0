public import EventBus
import ShopEvents

/// Takes orders, and confirms or cancels them as the inventory answers.
///
/// Every step may happen twice and has its effect once: an order is stored under its id, its end is what the first
/// answer said, and each event goes out under the same id each time.
public struct OrderService: Sendable {
    /// The group under which the instances of this service share their work.
    public static let group = "orders"

    private let bus: EventBus
    private let store: any OrderStore

    /// A service on `bus` that keeps its orders in `store`.
    public init(bus: EventBus, store: some OrderStore) {
        self.bus = bus
        self.store = store
    }

    /// Stores an order and tells the others. After an error, place the same order again: it goes on where it stopped.
    ///
    /// - Throws: ``OrderServiceError/duplicateID(_:)``; what `EventBus.publish` and the store throw.
    public func place(_ order: Order) async throws {
        guard try await store.insert(order) == order else { throw OrderServiceError.duplicateID(order.id) }
        try await bus.publish(
            stage: OrderCreated(orderID: order.id, customerID: order.customerID, items: order.items)
        )
    }

    /// Begins to listen to the inventory.
    @discardableResult
    public func subscribe(options: SubscriptionOptions = .init()) -> Subscription {
        bus.subscribe(group: Self.group, name: "stock-outcomes", options: options) { handlers in
            handlers.on(StockReserved.self) { event, _ in
                try await end(event.orderID, as: .confirmed)
            }
            handlers.on(StockRejected.self) { event, _ in
                try await end(event.orderID, as: .cancelled(event.reason, skus: event.skus))
            }
        }
    }

    private func end(_ id: String, as status: OrderStatus) async throws {
        guard let stands = try await store.end(id, as: status), let (order, _) = try await store.order(id) else {
            throw OrderServiceError.unknownOrder(id)
        }
        guard stands == status else { throw OrderServiceError.contradiction(id, stands: stands, asked: status) }
        // Published also when the order had ended before: the attempt that ended it may have got no further.
        switch status {
        case .placed:
            break
        case .confirmed:
            try await bus.publish(
                stage: OrderConfirmed(orderID: id, customerID: order.customerID, total: order.items.total)
            )
        case .cancelled(let reason, let skus):
            try await bus.publish(
                stage: OrderCancelled(orderID: id, customerID: order.customerID, reason: reason, skus: skus)
            )
        }
    }
}
