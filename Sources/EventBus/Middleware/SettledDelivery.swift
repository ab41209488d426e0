/// A delivery and its outcome.
public struct SettledDelivery: Sendable {
    let delivery: Delivery
    /// The number of the last attempt.
    public let attempt: Int
    /// The outcome.
    public let disposition: Disposition
    /// A Boolean value indicating whether the delivery is held in this process for its next attempt, and is therefore
    /// not settled yet. By-key and broadcast subscriptions hold deliveries.
    public let isHeld: Bool
    let settler: DeliverySettler

    /// The subscription of the delivery.
    public var subscription: SubscriptionInfo { settler.subscription }

    package var logger: BusLogger { settler.environment.logger }

    /// The event.
    public var envelope: Envelope { delivery.envelope }

    /// The identity of the delivery.
    package var key: DeliveryKey { DeliveryKey(session: ObjectIdentifier(settler.stopping), token: delivery.token) }
}

/// The identity of a delivery among those of all subscriptions in a process.
package struct DeliveryKey: Hashable, Sendable {
    let session: ObjectIdentifier
    let token: Delivery.Token
}
