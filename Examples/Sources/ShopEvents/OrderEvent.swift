public import EventBus

/// An event in the life of one order.
///
/// An order passes each stage at most once, so stage and order together identify the event. A publisher that repeats it
/// after a failure uses the same id, and an ``Inbox`` recognizes the duplicate.
public protocol OrderEvent: Event {
    /// The order.
    var orderID: String { get }
}

extension OrderEvent {
    /// The partition key, because events of one order belong together.
    public var partitionKey: String? { orderID }

    /// The event's identity, which is always the same: `order.created:10248`.
    public var eventID: EventID { EventID("\(Self.topic):\(orderID)") }
}

extension EventBus {
    /// Publishes a stage of an order under its own id, and requires a subscriber.
    public func publish(stage event: some OrderEvent) async throws {
        try await publish(event, options: PublishOptions(requiresSubscriber: true, id: event.eventID))
    }
}
