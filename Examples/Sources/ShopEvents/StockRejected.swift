public import EventBus

/// The inventory cannot fill an order and has put nothing aside.
public struct StockRejected: OrderEvent, Hashable {
    /// `stock.rejected`
    public static let topic: Topic = "stock.rejected"

    /// The order.
    public var orderID: String
    /// Why.
    public var reason: RejectionReason
    /// The products that are the cause, sorted.
    public var skus: [String]

    /// An order cannot be filled.
    public init(orderID: String, reason: RejectionReason, skus: [String]) {
        self.orderID = orderID
        self.reason = reason
        self.skus = skus
    }
}

/// Why an order cannot be filled.
public enum RejectionReason: String, Codable, Hashable, Sendable {
    /// There are not enough pieces of a product.
    case outOfStock
    /// The shop has no such product.
    case unknownProduct
}
