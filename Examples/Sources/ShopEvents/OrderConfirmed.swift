public import EventBus

/// The event that an order will be delivered.
public struct OrderConfirmed: OrderEvent, Hashable {
    /// The topic `order.confirmed`.
    public static let topic: Topic = "order.confirmed"

    /// The order.
    public var orderID: String
    /// The customer who placed it.
    public var customerID: String
    /// The total of the order.
    public var total: Money

    /// Creates the event.
    public init(orderID: String, customerID: String, total: Money) {
        self.orderID = orderID
        self.customerID = customerID
        self.total = total
    }

    /// Decodes the event and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        orderID = try container.decodeText(forKey: .orderID, ShopRules.isOrderID)
        customerID = try container.decodeText(forKey: .customerID, ShopRules.isText)
        total = try container.decode(Money.self, forKey: .total)
    }
}
