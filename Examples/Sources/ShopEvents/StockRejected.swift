public import EventBus

/// The event that the inventory cannot fill an order and has reserved nothing.
public struct StockRejected: OrderEvent, Hashable {
    /// The topic `stock.rejected`.
    public static let topic: Topic = "stock.rejected"

    /// The order.
    public var orderID: String
    /// The reason.
    public var reason: RejectionReason
    /// The products that caused it, sorted.
    public var skus: [String]

    /// Creates the event.
    public init(orderID: String, reason: RejectionReason, skus: [String]) {
        self.orderID = orderID
        self.reason = reason
        self.skus = skus
    }

    /// Decodes the event and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        orderID = try container.decodeText(forKey: .orderID, ShopRules.isOrderID)
        reason = try container.decode(RejectionReason.self, forKey: .reason)
        skus = try container.decodeSKUs(forKey: .skus)
    }
}

/// The reason why an order cannot be filled.
public enum RejectionReason: String, Codable, Hashable, Sendable {
    /// There are not enough items of a product.
    case outOfStock
    /// The shop has no such product.
    case unknownProduct
}
