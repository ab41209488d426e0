public import EventBus
import ShopEvents

/// Orders in the memory of one process, which are announced when they are stored.
///
/// An order that is stored again is announced again, because the first attempt may have stopped in between.
public actor InMemoryOrderStore: OrderStore {
    private let bus: EventBus
    private var orders: [String: (order: Order, status: OrderStatus)] = [:]

    /// Creates an empty store that announces on `bus`.
    public init(bus: EventBus) {
        self.bus = bus
    }

    /// Stores an order as placed, unless there is one with its id, and announces it.
    public func insert(_ order: Order) async throws -> Order {
        if let existing = orders[order.id], existing.order != order { return existing.order }
        if orders[order.id] == nil { orders[order.id] = (order, .placed) }
        try await bus.publish(order.created, options: PublishOptions(requiresSubscriber: true, id: order.eventID))
        return order
    }

    /// Returns the order with this id.
    public func order(_ id: String) -> (order: Order, status: OrderStatus)? {
        orders[id]
    }

    /// Ends a placed order, and announces its end.
    public func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus?
    {
        guard let entry = orders[id] else { return nil }
        if entry.status == .placed { orders[id]?.status = status }
        let stands = entry.status == .placed ? status : entry.status
        if stands == status, let event = status.event(for: entry.order) {
            try await bus.publish(event, options: PublishOptions(requiresSubscriber: true))
        }
        return stands
    }

    /// Returns every order.
    public func all() -> [(order: Order, status: OrderStatus)] {
        Array(orders.values)
    }
}
