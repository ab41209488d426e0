/// The state of a broker and of some of its objects, as a client can find it out without changing anything.
///
/// ```swift
/// let inspection = try await RabbitTransport.inspect(queues: ["inventory.order-created"], on: configuration)
/// for queue in inspection.queues { print(queue.name, queue.events ?? 0, queue.consumers ?? 0) }
/// ```
public struct BrokerInspection: Sendable {
    /// The state of a queue.
    public struct Queue: Hashable, Sendable {
        /// The queue's name.
        public var name: String
        /// The number of events that wait for a consumer, or `nil` if it is unknown. Events in the hands of a consumer
        /// are not counted.
        public var events: Int?
        /// The number of consumers, or `nil` if it is unknown.
        public var consumers: Int?
        /// A Boolean value indicating whether there is no such queue.
        public var isMissing: Bool
        /// The broker's reason for giving no numbers, or `nil`.
        public var problem: String?

        /// Creates the state of a queue. Inspections create those of a broker, and others are useful for tests.
        public init(
            name: String,
            events: Int? = nil,
            consumers: Int? = nil,
            isMissing: Bool = false,
            problem: String? = nil
        ) {
            self.name = name
            self.events = events
            self.consumers = consumers
            self.isMissing = isMissing
            self.problem = problem
        }
    }

    /// The broker's release, such as `3.10.8`, or an empty text if it did not tell.
    public var version: String
    /// The requested queues, in the order of the request.
    public var queues: [Queue]
    /// The queues that all services of the virtual host share: that of the delayed events that matched no queue, and
    /// those of the delay levels, from the shortest.
    public var sharedQueues: [Queue]
    /// The exchanges of the bus that do not exist.
    public var missingExchanges: [String]

    /// Creates an inspection without any queue. Others than those of a broker are useful for tests.
    public init(version: String) {
        self.version = version
        self.queues = []
        self.sharedQueues = []
        self.missingExchanges = []
    }
}
