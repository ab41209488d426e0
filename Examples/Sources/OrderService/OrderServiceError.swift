public import EventBus

/// The errors of the order service that a retry cannot fix.
public enum OrderServiceError: Error, NonRetryable, Hashable {
    /// Another order has this id.
    case duplicateID(String)
    /// The inventory has answered for an order that was never placed here.
    case unknownOrder(String)
    /// The inventory has given two different answers.
    case contradiction(String, stands: OrderStatus, asked: OrderStatus)
}

extension OrderServiceError: CustomStringConvertible {
    /// A description of the error.
    public var description: String {
        switch self {
        case .duplicateID(let id): "there is another order \(id); give each its own id"
        case .unknownOrder(let id): "there is no order \(id)"
        case .contradiction(let id, let stands, let asked): "order \(id) is \(stands) and cannot become \(asked)"
        }
    }
}
