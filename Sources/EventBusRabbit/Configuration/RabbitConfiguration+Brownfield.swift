public import EventBus

extension RabbitConfiguration {
    /// The queue of a subscription that differs from the one that the bus would declare.
    ///
    /// ```swift
    /// configuration.queues["billing.orders"] = .init(name: "legacy-orders", isDeclared: false)
    /// configuration.queues["mail.orders"] = .init(arguments: ["x-quorum-initial-group-size": 5])
    /// ```
    public struct Queue: Hashable, Sendable {
        /// The queue's name, or `nil` for `GROUP.NAME`. Defaults to `nil`.
        public var name: String?
        /// A Boolean value indicating whether the bus declares the queue and binds it to the patterns. Defaults to
        /// `true`.
        ///
        /// Set it to `false` for a queue of another system. Its owner declares and binds it, and gives it a dead-letter
        /// exchange. Without one, the broker drops events that are larger than ``RabbitConfiguration/maximumBodySize``,
        /// and failed ones that cannot be sent again unchanged. The bus still declares the queue in which the
        /// subscription's delayed events wait, and needs the permission to bind the queue to it. A stream is refused with
        /// `.unsupported`, because it takes no event back.
        public var isDeclared: Bool
        /// The arguments of the queue, in addition to the bus's own or instead of them, such as `x-max-priority`, which
        /// only a classic queue has. Defaults to none. They cannot be changed once the queue exists. One that the broker
        /// does not accept ends the attempt to attach with `.invalidConfiguration`.
        public var arguments: [String: HeaderValue]
        /// The arguments of the consumer, such as `x-priority`. Defaults to none.
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

    /// The destination of an event that is not published to ``RabbitConfiguration/exchange`` with its topic as the
    /// routing key.
    ///
    /// ```swift
    /// configuration.route = { event in
    ///     event.topic == "order.created" ? .init(exchange: "legacy", routingKey: "orders.new") : nil
    /// }
    /// ```
    public struct Route: Hashable, Sendable {
        /// The exchange to which the event is published. It is empty for the default exchange.
        public var exchange: String
        /// The routing key.
        public var routingKey: String
        /// The time after which the event expires in a queue, or `nil` for that of its publish
        /// (`PublishOptions.expiration`). It is sent in milliseconds. Defaults to `nil`.
        public var expiration: Duration?
        /// The priority of the event in a queue with priorities, or `nil` for that of its publish
        /// (`PublishOptions.priority`). Defaults to `nil`.
        public var priority: UInt8?

        /// Creates a route. Omitted values use the defaults.
        public init(exchange: String, routingKey: String, expiration: Duration? = nil, priority: UInt8? = nil) {
            self.exchange = exchange
            self.routingKey = routingKey
            self.expiration = expiration
            self.priority = priority
        }
    }

    /// The maximum length of a queue's name in UTF-8 bytes, because the routing keys of retries contain it after the
    /// words for the levels.
    static let maximumQueueName = 200

    /// Returns the name of a subscription's queue.
    func queueName(of specification: QueueSpecification) -> String {
        queues[specification.queueName]?.name ?? specification.queueName
    }
}
