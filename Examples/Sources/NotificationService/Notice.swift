/// A message to a customer about an order.
public struct Notice: Codable, Hashable, Sendable {
    /// The outcome of the order.
    public enum Outcome: String, Codable, Hashable, Sendable {
        /// The order will be delivered.
        case confirmed
        /// The order will not be delivered.
        case cancelled
    }

    /// The order. A customer gets one notice for each order.
    public var orderID: String
    /// The customer to notify.
    public var customerID: String
    /// The outcome of the order.
    public var outcome: Outcome
    /// The text of the message.
    public var text: String

    /// Creates a notice.
    public init(orderID: String, customerID: String, outcome: Outcome, text: String) {
        self.orderID = orderID
        self.customerID = customerID
        self.outcome = outcome
        self.text = text
    }
}
