// The module and its main type have the same name, so `EventBus.Event` would be looked up inside the type. With these
// aliases, users who have their own `Event`, `Topic` or `Subscription` can say which one they mean.

/// An alias of ``Event``.
public typealias EventBusEvent = Event
/// An alias of ``Topic``.
public typealias EventBusTopic = Topic
/// An alias of ``Subscription``.
public typealias EventBusSubscription = Subscription

extension EventBus {
    /// The protocol ``EventBusEvent`` in the namespace of the bus.
    public typealias Event = EventBusEvent
    /// The type ``EventBusTopic`` in the namespace of the bus.
    public typealias Topic = EventBusTopic
    /// The type ``EventBusSubscription`` in the namespace of the bus.
    public typealias Subscription = EventBusSubscription
}
