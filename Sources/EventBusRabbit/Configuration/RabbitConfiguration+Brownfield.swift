public import EventBus

extension RabbitConfiguration {
    /// The queue of a subscription that differs from one that the bus declares by itself.
    public struct Queue: Hashable, Sendable {
        /// The queue's name, or `nil` for `GROUP.NAME`. Defaults to `nil`.
        public var name: String?
        /// A Boolean value indicating whether the bus declares the queue and binds it to the patterns. Defaults to `true`.
        ///
        /// Set it to `false` for a queue of another system. Its owner declares and binds it, and gives it a dead-letter
        /// exchange: without one the broker drops events that are larger than ``RabbitConfiguration/maximumBodySize``, and
        /// failed ones that cannot be sent again as they came. The bus still declares the queue in which the
        /// subscription's delayed events wait, and needs the right to bind the queue to it.
        public var isDeclared: Bool
        /// Arguments of the queue, in addition to the bus's own or in place of them, such as `x-max-priority`. Defaults to
        /// none. They cannot be changed once the queue exists.
        public var arguments: [String: HeaderValue]
        /// Arguments of the consumer, such as `x-priority`. Defaults to none.
        public var consumerArguments: [String: HeaderValue]

        /// Creates a queue. Omitted values use the defaults.
        public init(
            name: String? = nil,
            isDeclared: Bool = true,
            arguments: [String: HeaderValue] = [:],
            consumerArguments: [String: HeaderValue] = [:]
        ) {
            self.name = name
            self.isDeclared = isDeclared
            self.arguments = arguments
            self.consumerArguments = consumerArguments
        }
    }

    /// The way of an event that is not published to ``RabbitConfiguration/exchange`` with its topic as the routing key.
    public struct Route: Hashable, Sendable {
        /// The exchange that the event is published to; empty for the default exchange.
        public var exchange: String
        /// The routing key.
        public var routingKey: String
        /// The time after which a queue gives the event up, in milliseconds, or `nil` for never. Defaults to `nil`.
        public var expiration: Duration?
        /// The priority among the events of a queue with priorities, or `nil` for none. Defaults to `nil`.
        public var priority: UInt8?

        /// Creates a route. Omitted values use the defaults.
        public init(exchange: String, routingKey: String, expiration: Duration? = nil, priority: UInt8? = nil) {
            self.exchange = exchange
            self.routingKey = routingKey
            self.expiration = expiration
            self.priority = priority
        }
    }

    /// The longest name of a queue in UTF-8 bytes: it stands in the routing keys of retries, behind the levels' words.
    static let maximumQueueName = 200

    /// The name of a subscription's queue.
    func queueName(of specification: QueueSpecification) -> String {
        queues[specification.queueName]?.name ?? specification.queueName
    }
}
