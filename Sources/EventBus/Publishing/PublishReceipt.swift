/// The result of a publish: the event's identity and the outcome.
///
/// ```swift
/// let receipt = try await bus.publish(OrderCreated(orderID: "42"))
/// if receipt.outcome == .unroutable { logger.warning("nobody subscribes to this event") }
/// ```
public struct PublishReceipt: Hashable, Sendable {
    /// The event's identity.
    public var id: EventID
    /// The outcome: the broker has accepted the event, or the event has no subscriber.
    public var outcome: PublishOutcome

    /// Creates a receipt.
    public init(id: EventID, outcome: PublishOutcome) {
        self.id = id
        self.outcome = outcome
    }
}
