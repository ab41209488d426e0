public import EventBus
import ShopEvents

/// Orders in the memory of one process, announced as they are stored.
///
/// It announces again what it is given again: the attempt that stored it may have got no further.
public actor InMemoryOrderStore: OrderStore {
    private let bus: EventBus
    private var orders: [String: (order: Order, status: OrderStatus)] = [:]

    /// A store without orders that announces on `bus`.
    public init(bus: EventBus) {
        self.bus = bus
    }

    /// Stores an order as placed, unless there is one with its id, and announces it.
    public func insert(_ order: Order) async throws -> Order {
        if let existing = orders[order.id], existing.order != order { return existing.order }
        if orders[order.id] == nil { orders[order.id] = (order, .placed) }
        try await bus.publish(stage: order.created)
        return order
    }

    /// The order with this id.
    public func order(_ id: String) -> (order: Order, status: OrderStatus)? {
        orders[id]
    }

    /// Ends an order that is placed, and announces its end.
    public func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus?
    {
        guard let entry = orders[id] else { return nil }
        if entry.status == .placed { orders[id]?.status = status }
        let stands = entry.status == .placed ? status : entry.status
        if stands == status, let event = status.event(for: entry.order) { try await bus.publish(stage: event) }
        return stands
    }

    /// Every order.
    public func all() -> [(order: Order, status: OrderStatus)] {
        Array(orders.values)
    }
}
