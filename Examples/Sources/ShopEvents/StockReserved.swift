public import EventBus

/// The inventory has put everything aside that an order needs.
public struct StockReserved: OrderEvent, Hashable {
    /// `stock.reserved`
    public static let topic: Topic = "stock.reserved"

    /// The order.
    public var orderID: String
    /// How many pieces of each product are put aside.
    public var quantities: [String: Int]

    /// Stock was reserved.
    public init(orderID: String, quantities: [String: Int]) {
        self.orderID = orderID
        self.quantities = quantities
    }
}
