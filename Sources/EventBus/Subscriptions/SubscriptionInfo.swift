/// The properties that are the same for every delivery of a subscription.
public struct SubscriptionInfo: Hashable, Sendable {
    /// The group.
    public let group: String
    /// The subscription's name within the group.
    public let name: String
    /// The topics or patterns, for metric labels. Their number is bounded, whatever topics arrive.
    public let pattern: String

    /// The name of the subscription's queue, `GROUP.NAME`.
    public var queueName: String { "\(group).\(name)" }

    package init(group: String, name: String, pattern: String) {
        self.group = group
        self.name = name
        self.pattern = pattern
    }
}
