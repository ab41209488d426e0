public import EventBus

/// The event that an order will not be delivered.
public struct OrderCancelled: OrderEvent, Hashable {
    /// The topic `order.cancelled`.
    public static let topic: Topic = "order.cancelled"

    /// The order.
    public var orderID: String
    /// The customer who placed it.
    public var customerID: String
    /// The reason for the cancellation.
    public var reason: RejectionReason
    /// The products that caused it, sorted.
    public var skus: [String]

    /// Creates the event.
    public init(orderID: String, customerID: String, reason: RejectionReason, skus: [String]) {
        self.orderID = orderID
        self.customerID = customerID
        self.reason = reason
        self.skus = skus
    }

    /// Decodes the event and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        orderID = try container.decodeText(forKey: .orderID, ShopRules.isOrderID)
        customerID = try container.decodeText(forKey: .customerID, ShopRules.isText)
        reason = try container.decode(RejectionReason.self, forKey: .reason)
        skus = try container.decodeSKUs(forKey: .skus)
    }
}
