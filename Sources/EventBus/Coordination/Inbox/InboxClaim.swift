/// The right to handle an event for a subscription.
public struct InboxClaim: Hashable, Sendable {
    /// The event and the subscription.
    public var key: InboxKey
    /// A number that identifies this claim among all claims on the event. A later claim has a greater number.
    public var fence: UInt64

    /// Creates a claim. It is called by implementations of ``Inbox`` only.
    public init(key: InboxKey, fence: UInt64) {
        self.key = key
        self.fence = fence
    }
}
