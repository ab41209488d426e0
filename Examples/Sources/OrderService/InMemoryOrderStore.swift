/// Orders in the memory of one process.
public actor InMemoryOrderStore: OrderStore {
    private var orders: [String: (order: Order, status: OrderStatus)] = [:]

    /// A store without orders.
    public init() {}

    /// Stores an order as placed, unless there is one with its id.
    public func insert(_ order: Order) -> Order {
        if let existing = orders[order.id] { return existing.order }
        orders[order.id] = (order, .placed)
        return order
    }

    /// The order with this id.
    public func order(_ id: String) -> (order: Order, status: OrderStatus)? {
        orders[id]
    }

    /// Ends an order that is placed.
    public func end(_ id: String, as status: OrderStatus) -> OrderStatus? {
        guard let entry = orders[id] else { return nil }
        guard entry.status == .placed else { return entry.status }
        orders[id]?.status = status
        return status
    }

    /// Every order.
    public func all() -> [(order: Order, status: OrderStatus)] {
        Array(orders.values)
    }
}
