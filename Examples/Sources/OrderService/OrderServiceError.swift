public import EventBus

/// What the order service refuses. Trying again does not help.
public enum OrderServiceError: Error, NonRetryable, Hashable {
    /// Another order has this id.
    case duplicateID(String)
    /// The inventory speaks of an order that was never placed here.
    case unknownOrder(String)
    /// The inventory gave two different answers.
    case contradiction(String, stands: OrderStatus, asked: OrderStatus)
}

extension OrderServiceError: CustomStringConvertible {
    /// What was wrong, in words.
    public var description: String {
        switch self {
        case .duplicateID(let id): "there is another order \(id); give each its own id"
        case .unknownOrder(let id): "there is no order \(id)"
        case .contradiction(let id, let stands, let asked): "order \(id) is \(stands) and cannot become \(asked)"
        }
    }
}
