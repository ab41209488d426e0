public import EventBus

/// An event in the life of one order.
public protocol OrderEvent: Event {
    /// The order.
    var orderID: String { get }
}

extension OrderEvent {
    /// The partition key, because events of one order belong together.
    public var partitionKey: String? { orderID }
}
