public import EventBus

/// An order will not be delivered.
public struct OrderCancelled: OrderEvent, Hashable {
    /// `order.cancelled`
    public static let topic: Topic = "order.cancelled"

    /// The order.
    public var orderID: String
    /// Who placed it.
    public var customerID: String
    /// Why it is cancelled.
    public var reason: RejectionReason
    /// The products that are the cause, sorted.
    public var skus: [String]

    /// An order was cancelled.
    public init(orderID: String, customerID: String, reason: RejectionReason, skus: [String]) {
        self.orderID = orderID
        self.customerID = customerID
        self.reason = reason
        self.skus = skus
    }
}
