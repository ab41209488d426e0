public import EventBus

/// The event that a customer has placed an order and the order service has stored it.
public struct OrderCreated: OrderEvent, Hashable {
    /// The topic `order.created`.
    public static let topic: Topic = "order.created"

    /// The order.
    public var orderID: String
    /// The customer who placed it.
    public var customerID: String
    /// The ordered products. The same product may occur in several lines.
    public var items: [OrderLine]

    /// Creates the event.
    public init(orderID: String, customerID: String, items: [OrderLine]) {
        self.orderID = orderID
        self.customerID = customerID
        self.items = items
    }

    /// Decodes the event and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        orderID = try container.decodeText(forKey: .orderID, ShopRules.isOrderID)
        customerID = try container.decodeText(forKey: .customerID, ShopRules.isText)
        items = try container.decode([OrderLine].self, forKey: .items)
        guard (1...ShopRules.maximumLines).contains(items.count) else {
            throw DecodingError.dataCorruptedError(
                forKey: .items,
                in: container,
                debugDescription: "the order has \(items.count) lines; 1 to \(ShopRules.maximumLines) are allowed"
            )
        }
    }
}
