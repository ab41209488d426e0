/// What a transport has to know of a subscription to make its queue and consume it.
public struct QueueSpecification: Hashable, Sendable {
    /// The group; its members share the deliveries.
    public var group: String
    /// The subscription's name within the group.
    public var name: String
    /// The patterns that are bound to the queue.
    public var patterns: [TopicPattern]
    /// Patterns of earlier releases, to be unbound.
    public var formerPatterns: [TopicPattern]
    /// How many unsettled deliveries the consumer may hold.
    public var prefetch: Int
    /// Whether only one consumer of the queue works at a time, the others standing by.
    public var singleActiveConsumer: Bool
    /// Whether every instance gets every event on a queue of its own that ends with its connection.
    public var broadcast: Bool
    /// Whether the consumer handles the deliveries of one partition key one after another.
    package var ordersByKey = false

    /// A specification; made by the bus, and by tests of a transport.
    public init(
        group: String,
        name: String,
        patterns: [TopicPattern],
        formerPatterns: [TopicPattern] = [],
        prefetch: Int,
        singleActiveConsumer: Bool = false,
        broadcast: Bool = false
    ) {
        self.group = group
        self.name = name
        self.patterns = patterns
        self.formerPatterns = formerPatterns
        self.prefetch = prefetch
        self.singleActiveConsumer = singleActiveConsumer
        self.broadcast = broadcast
    }

    /// The name of the subscription's queue, `GROUP.NAME`; broadcast queues add a part of their own.
    public var queueName: String { "\(group).\(name)" }
}
