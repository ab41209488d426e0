// The module and its main type share a name, so `EventBus.Event` would look inside the type: these let a user who has
// an `Event`, `Topic` or `Subscription` of their own say which one they mean.

/// See ``Event``.
public typealias EventBusEvent = Event
/// See ``Topic``.
public typealias EventBusTopic = Topic
/// See ``Subscription``.
public typealias EventBusSubscription = Subscription

extension EventBus {
    /// The protocol ``EventBusEvent`` under the bus's name.
    public typealias Event = EventBusEvent
    /// The type ``EventBusTopic`` under the bus's name.
    public typealias Topic = EventBusTopic
    /// The type ``EventBusSubscription`` under the bus's name.
    public typealias Subscription = EventBusSubscription
}
