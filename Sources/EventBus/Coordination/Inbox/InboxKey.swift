/// The identity under which an ``Inbox`` records an event: the event and the subscription that handles it.
///
/// The key of a delivery is ``EventContext/inboxKey``.
///
/// ```swift
/// let key = InboxKey(topic: "order.created", eventID: event.id, subscription: "inventory.order-created")
/// ```
public struct InboxKey: Hashable, Sendable {
    /// The event's topic. An event is identified by topic and id, because equal ids of different topics may come from
    /// different publishers.
    public var topic: Topic
    /// The event's id.
    public var eventID: EventID
    /// The subscription's queue, `GROUP.NAME`. Each subscription has separate records.
    public var subscription: String
    /// A digest of the event's payload, or `nil` to compare no payloads. It is not part of the identity.
    ///
    /// An inbox stores it with the record, and so recognizes another event under the topic and id of one that was
    /// handled. It detects mistakes and guessed ids, but it is no signature.
    public var payloadDigest: UInt64?

    /// Creates a key.
    ///
    /// - Parameters:
    ///   - topic: The event's topic.
    ///   - eventID: The event's id.
    ///   - subscription: The subscription's queue, `GROUP.NAME`.
    ///   - payloadDigest: A digest of the event's payload. Defaults to `nil`.
    public init(topic: Topic, eventID: EventID, subscription: String, payloadDigest: UInt64? = nil) {
        self.topic = topic
        self.eventID = eventID
        self.subscription = subscription
        self.payloadDigest = payloadDigest
    }

    /// Returns a Boolean value indicating whether two keys identify the same event and subscription.
    public static func == (lhs: InboxKey, rhs: InboxKey) -> Bool {
        lhs.topic == rhs.topic && lhs.eventID == rhs.eventID && lhs.subscription == rhs.subscription
    }

    /// Hashes the identity.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(topic)
        hasher.combine(eventID)
        hasher.combine(subscription)
    }

    /// Returns the decision about an event that was completed with a payload of this digest.
    ///
    /// - Parameter storedDigest: The digest in the record, or `nil` if it has none.
    public func decision(completedWith storedDigest: UInt64?) -> InboxDecision {
        guard let payloadDigest, let storedDigest, payloadDigest != storedDigest else { return .completed }
        return .completedWithOtherPayload
    }
}

extension InboxKey: CustomStringConvertible {
    /// The event's id, the topic and the subscription, for logs and errors.
    public var description: String { "event \(eventID) of topic \(topic) for \(subscription)" }
}

extension EventContext {
    /// The delivery's identity in an ``Inbox``, with the digest of its payload.
    public var inboxKey: InboxKey {
        InboxKey(
            topic: topic,
            eventID: id,
            subscription: subscription.queueName,
            payloadDigest: StableHash.hash(of: envelope.payload)
        )
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
