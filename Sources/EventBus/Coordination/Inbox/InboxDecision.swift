/// The result of a request for a claim on an ``Inbox``.
public enum InboxDecision: Hashable, Sendable {
    /// The event was claimed and has to be handled.
    case new(InboxClaim)
    /// The event was handled before.
    case completed
    /// An event with the same topic and id, but another payload, was handled before. One of the two is not what it
    /// claims to be.
    case completedWithOtherPayload
    /// Another claim on the event is active. It ends after this time unless it is renewed.
    case inProgress(retryAfter: Duration)
}
