/// What a customer is told about an order.
public struct Notice: Codable, Hashable, Sendable {
    /// How the order ended.
    public enum Outcome: String, Codable, Hashable, Sendable {
        /// It will be delivered.
        case confirmed
        /// It will not be delivered.
        case cancelled
    }

    /// The order; a customer hears of each only once.
    public var orderID: String
    /// Whom to tell.
    public var customerID: String
    /// How the order ended.
    public var outcome: Outcome
    /// What to tell.
    public var text: String

    /// Something to tell a customer.
    public init(orderID: String, customerID: String, outcome: Outcome, text: String) {
        self.orderID = orderID
        self.customerID = customerID
        self.outcome = outcome
        self.text = text
    }
}
