/// An observer of the outcomes of deliveries. It does not take part in handling them.
///
/// ```swift
/// struct DeadLetterAlarm: DeliveryObserver {
///     func didSettle(_ delivery: SettledDelivery) {
///         if case .deadLettered(let failure) = delivery.disposition { alert(delivery.envelope.id, failure.message) }
///     }
/// }
///
/// configuration.deliveryObservers.append(DeadLetterAlarm())
/// ```
public protocol DeliveryObserver: EventMiddleware {
    /// Returns the observer of one subscription. It is called once for each subscription, to prepare everything that is
    /// the same for all deliveries.
    func prepared(for subscription: SubscriptionInfo) -> any DeliveryObserver

    /// Observes the outcome of a delivery. It is called once for each delivery, even if no handler ran. Before that, it
    /// is called for each attempt after which the delivery is held for the next one (``SettledDelivery/isHeld``).
    func didSettle(_ delivery: SettledDelivery)

    /// Observes that a handler has exceeded its time limit and was cancelled. It is called once for each such attempt.
    ///
    /// The handler may still be running, and counts as one of the subscription's concurrent handlers until it ends.
    /// Return quickly, because the task that watches the time limits of all handlers makes the call.
    func didTimeOut(_ context: EventContext)

    /// Observes that the delivery of a running handler was revoked, because its connection was lost or the broker's consumer
    /// timeout has passed. The broker redelivers the event, and the handler's outcome is ignored.
    func didRevoke(_ context: EventContext)
}

extension DeliveryObserver {
    /// Returns itself.
    public func prepared(for subscription: SubscriptionInfo) -> any DeliveryObserver { self }

    /// Does nothing.
    public func didTimeOut(_ context: EventContext) {}

    /// Does nothing.
    public func didRevoke(_ context: EventContext) {}
}
