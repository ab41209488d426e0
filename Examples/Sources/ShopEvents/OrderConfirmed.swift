public import EventBus

/// An order will be delivered.
public struct OrderConfirmed: OrderEvent, Hashable {
    /// `order.confirmed`
    public static let topic: Topic = "order.confirmed"

    /// The order.
    public var orderID: String
    /// Who placed it.
    public var customerID: String
    /// What it costs.
    public var total: Money

    /// An order was confirmed.
    public init(orderID: String, customerID: String, total: Money) {
        self.orderID = orderID
        self.customerID = customerID
        self.total = total
    }
}
