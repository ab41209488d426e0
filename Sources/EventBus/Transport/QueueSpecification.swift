/// The properties of a subscription that a transport needs to declare its queue and consume it.
///
/// ```swift
/// let queue = QueueSpecification(group: "inventory", name: "order-created", patterns: ["order.created"], prefetch: 16)
/// try await RabbitTransport.declareTopology(for: [queue], on: configuration)
/// ```
public struct QueueSpecification: Hashable, Sendable {
    /// The group, whose members share the deliveries.
    public var group: String
    /// The subscription's name within the group.
    public var name: String
    /// The patterns that are bound to the queue.
    public var patterns: [TopicPattern]
    /// The patterns of earlier releases, which are unbound.
    public var formerPatterns: [TopicPattern]
    /// The maximum number of unsettled deliveries of the consumer.
    public var prefetch: Int
    /// A Boolean value indicating whether only one consumer of the queue is active while the others stand by.
    public var singleActiveConsumer: Bool
    /// A Boolean value indicating whether every instance gets every event, on a separate queue that ends with its
    /// connection.
    public var broadcast: Bool
    /// A Boolean value indicating whether the consumer handles the deliveries of one partition key one after another.
    package var ordersByKey = false

    /// Creates a specification. The bus creates those of its subscriptions. Others are useful for tests of a transport,
    /// and for declaring the topology of a broker in advance.
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

    /// The name of the subscription's queue, `GROUP.NAME`. The queues of broadcasts have an additional part.
    public var queueName: String { "\(group).\(name)" }
}
