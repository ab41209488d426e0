public import EventBus

/// The event that the inventory has reserved all items of an order.
public struct StockReserved: OrderEvent, Hashable {
    /// The topic `stock.reserved`.
    public static let topic: Topic = "stock.reserved"

    /// The order.
    public var orderID: String
    /// The reserved number of items of each product.
    public var quantities: [String: Int]

    /// Creates the event.
    public init(orderID: String, quantities: [String: Int]) {
        self.orderID = orderID
        self.quantities = quantities
    }

    /// Decodes the event and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        orderID = try container.decodeText(forKey: .orderID, ShopRules.isOrderID)
        quantities = try container.decode([String: Int].self, forKey: .quantities)
        let isValid =
            quantities.count <= ShopRules.maximumLines && quantities.keys.allSatisfy(ShopRules.isSKU)
            && quantities.values.allSatisfy { $0 > 0 }
        guard isValid else {
            throw DecodingError.dataCorruptedError(
                forKey: .quantities,
                in: container,
                debugDescription: "the quantities are not valid"
            )
        }
    }
}
