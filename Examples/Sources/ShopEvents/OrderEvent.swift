public import EventBus

/// An event in the life of one order.
///
/// An order passes each stage at most once, so stage and order together identify the event: whoever publishes it again
/// after a failure gives it the same id, and an ``Inbox`` downstream can tell.
public protocol OrderEvent: Event {
    /// The order.
    var orderID: String { get }
}

extension OrderEvent {
    /// Events of one order belong together.
    public var partitionKey: String? { orderID }

    /// The event's identity, the same whenever and wherever it is published: `order.created:10248`.
    public var eventID: EventID { EventID("\(Self.topic):\(orderID)") }
}

extension EventBus {
    /// Publishes a stage of an order under its own id, and insists that someone listens.
    public func publish(stage event: some OrderEvent) async throws {
        try await publish(event, options: PublishOptions(requiresSubscriber: true, id: event.eventID))
    }
}
