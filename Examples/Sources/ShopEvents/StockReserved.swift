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
}
