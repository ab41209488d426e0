import ConnectionThread
public import EventBus
import Glibc

/// The objects that the subscriptions of a service need on a broker, as a file for operators.
///
/// A service writes the file with one call, for example in its build, and `eventbus topology` compares it with a broker
/// and declares what is missing:
///
/// ```swift
/// try RabbitTopology(of: bus, with: configuration).write(to: "topology.json")
/// ```
public struct RabbitTopology: Hashable, Sendable, Codable {
    /// A subscription.
    public struct Subscription: Hashable, Sendable, Codable {
        /// The group.
        public var group: String
        /// The subscription's name within the group.
        public var name: String
        /// The queue.
        public var queue: String
        /// The patterns that are bound to the queue.
        public var patterns: [String]
        /// The patterns of earlier releases, which are unbound.
        public var formerPatterns: [String]
        /// A Boolean value indicating whether only one consumer of the queue is active.
        public var singleActiveConsumer: Bool
        /// A Boolean value indicating whether the bus declares the queue and binds it. It is `false` for a queue of
        /// another system.
        public var isDeclared = true
        /// The arguments of the queue, in addition to the bus's own or instead of them.
        public var arguments: [String: HeaderValue] = [:]
    }

    /// The exchange of events.
    public var exchange: String
    /// The type of the queues, `quorum` or `classic`.
    public var queueType: String
    /// The subscriptions. Those of broadcasts have no lasting queue, and are left out.
    public var subscriptions: [Subscription]

    /// Creates the topology of the bus's present subscriptions.
    public init(of bus: EventBus, with configuration: RabbitConfiguration) {
        self.init(of: bus.queueSpecifications, with: configuration)
    }

    /// Creates the topology of subscriptions.
    public init(of specifications: [QueueSpecification], with configuration: RabbitConfiguration) {
        exchange = configuration.exchange
        queueType = configuration.queueType.rawValue
        subscriptions = specifications.filter { !$0.broadcast }.map { specification in
            let queue = configuration.queues[specification.queueName]
            return Subscription(
                group: specification.group,
                name: specification.name,
                queue: configuration.queueName(of: specification),
                patterns: specification.patterns.map(\.rawValue),
                formerPatterns: specification.formerPatterns.map(\.rawValue),
                singleActiveConsumer: specification.singleActiveConsumer,
                isDeclared: queue?.isDeclared ?? true,
                arguments: queue?.arguments ?? [:]
            )
        }.sorted { $0.queue < $1.queue }
    }

    /// Writes the topology as JSON to a file, in place of an existing one. A new file can be read by its owner only, and a
    /// symbolic link is not followed.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration` if the file cannot be written;
    ///   `EncodingError` for an argument that is neither a text nor a number nor a Boolean value.
    public func write(to path: String) throws {
        let bytes = try JSONEventCodec().encode(self) + [UInt8(ascii: "\n")]
        func failed() -> EventBusError {
            EventBusError(.invalidConfiguration, "\(path) cannot be written: \(String(errorNumber: errno))")
        }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0, let file = fdopen(descriptor, "w") else { throw failed() }
        let written = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
        let isClosed = fclose(file) == 0
        guard written == bytes.count, isClosed else { throw failed() }
    }

    /// The specifications of the subscriptions' queues.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidTopic` for a pattern that is not valid.
    public var specifications: [QueueSpecification] {
        get throws {
            try subscriptions.map { subscription in
                QueueSpecification(
                    group: subscription.group,
                    name: subscription.name,
                    patterns: try subscription.patterns.map { try TopicPattern(validating: $0) },
                    formerPatterns: try subscription.formerPatterns.map { try TopicPattern(validating: $0) },
                    prefetch: 1,
                    singleActiveConsumer: subscription.singleActiveConsumer
                )
            }
        }
    }

    /// Applies the exchange, the type of the queues, and the queues that differ from the usual ones, to a configuration.
    public func apply(to configuration: inout RabbitConfiguration) throws {
        guard let type = RabbitConfiguration.QueueType(rawValue: queueType) else {
            throw EventBusError(.invalidConfiguration, "queueType is \(queueType.quotedForError)")
        }
        configuration.exchange = exchange
        configuration.queueType = type
        for subscription in subscriptions {
            let usual = "\(subscription.group).\(subscription.name)"
            let queue = RabbitConfiguration.Queue(
                name: subscription.queue == usual ? nil : subscription.queue,
                isDeclared: subscription.isDeclared,
                arguments: subscription.arguments
            )
            if queue != .init() { configuration.queues[usual] = queue }
        }
    }
}
