/// The identity under which an ``Inbox`` records an event: the event and the subscription that handles it.
///
/// The key of a delivery is ``EventContext/inboxKey``.
public struct InboxKey: Hashable, Sendable {
    /// The event's topic. An event is identified by topic and id, because equal ids of different topics may come from
    /// different publishers.
    public var topic: Topic
    /// The event's id.
    public var eventID: EventID
    /// The subscription's queue, `GROUP.NAME`. Each subscription has separate records.
    public var subscription: String

    /// Creates a key.
    ///
    /// - Parameters:
    ///   - topic: The event's topic.
    ///   - eventID: The event's id.
    ///   - subscription: The subscription's queue, `GROUP.NAME`.
    public init(topic: Topic, eventID: EventID, subscription: String) {
        self.topic = topic
        self.eventID = eventID
        self.subscription = subscription
    }
}

extension InboxKey: CustomStringConvertible {
    /// The event's id, the topic and the subscription, for logs and errors.
    public var description: String { "event \(eventID) of topic \(topic) for \(subscription)" }
}

extension EventContext {
    /// The delivery's identity in an ``Inbox``.
    public var inboxKey: InboxKey {
        InboxKey(topic: topic, eventID: id, subscription: subscription.queueName)
    }
}

extension EventBusError {
    /// Returns the error for a claim that another one has replaced, which is the same for every inbox.
    package static func replaced(_ claim: InboxClaim, isCompleted: Bool) -> EventBusError {
        EventBusError(
            .leaseExpired,
            "the claim on \(claim.key) ran out, and another \(isCompleted ? "has handled it" : "is in force"); "
                + "give claims a longer lease"
        )
    }

    /// Returns the error for a renewal that came too late, which is the same for every inbox.
    package static func notInForce(_ claim: InboxClaim) -> EventBusError {
        EventBusError(.leaseExpired, "the claim on \(claim.key) is no longer in force and cannot be renewed")
    }
}
