public import EventBus

/// A customer has placed an order, and the order service has stored it.
public struct OrderCreated: OrderEvent, Hashable {
    /// `order.created`
    public static let topic: Topic = "order.created"

    /// The order.
    public var orderID: String
    /// Who placed it.
    public var customerID: String
    /// What is ordered; the same product may occur in several lines.
    public var items: [OrderLine]

    /// An order was placed.
    public init(orderID: String, customerID: String, items: [OrderLine]) {
        self.orderID = orderID
        self.customerID = customerID
        self.items = items
    }
}
