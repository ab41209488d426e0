public import EventBus
import ShopEvents

/// A service that accepts orders, and confirms or cancels them as the inventory answers.
///
/// Every step may run twice and has its effect once: an order is stored under its id, its end is determined by the
/// first answer, and a repeated attempt publishes its events under the same ids, which the bus derives.
public struct OrderService: Sendable {
    /// The group in which the instances of this service share their work.
    public static let group = "orders"

    private let bus: EventBus
    private let store: any OrderStore

    /// Creates a service on `bus` that keeps its orders in `store`.
    public init(bus: EventBus, store: some OrderStore) {
        self.bus = bus
        self.store = store
    }

    /// Stores and announces an order. After an error, place the same order again to continue.
    ///
    /// - Throws: ``OrderServiceError/duplicateID(_:)``; errors of the store.
    public func place(_ order: Order) async throws {
        guard try await store.insert(order) == order else { throw OrderServiceError.duplicateID(order.id) }
    }

    /// Subscribes to the inventory's answers.
    @discardableResult
    public func subscribe(options: SubscriptionOptions = .init()) -> Subscription {
        bus.subscribe(group: Self.group, name: "stock-outcomes", options: options) { handlers in
            handlers.on(StockReserved.self) { event, context in
                try await end(event.orderID, as: .confirmed, handling: context)
            }
            handlers.on(StockRejected.self) { event, context in
                try await end(event.orderID, as: .cancelled(event.reason, skus: event.skus), handling: context)
            }
        }
    }

    private func end(_ id: String, as status: OrderStatus, handling context: EventContext) async throws {
        guard let stands = try await store.end(id, as: status, handling: context) else {
            throw OrderServiceError.unknownOrder(id)
        }
        guard stands == status else { throw OrderServiceError.contradiction(id, stands: stands, asked: status) }
    }
}
