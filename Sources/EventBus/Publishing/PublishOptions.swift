/// The options of a publish.
///
/// ```swift
/// var options = PublishOptions()
/// options.delay = .seconds(60)
/// options.requiresSubscriber = true
/// try await bus.publish(OrderCreated(orderID: "42"), options: options)
/// ```
public struct PublishOptions: Sendable {
    /// The maximum duration of the publish, after which it throws, or `nil` for
    /// ``EventBusConfiguration/publishTimeout``. Defaults to `nil`.
    public var deadline: Duration?
    /// The time for which the broker holds the event before subscribers receive it. Local listeners do not receive an
    /// event with a delay. Defaults to zero.
    public var delay: Duration
    /// The time for which the event may wait in the queue of a subscription, or `nil` for any time. If no consumer has
    /// received it by then, it becomes a dead letter with the reason ``Failure/Reason/expired``. Defaults to `nil`.
    ///
    /// A prefetched delivery and a retry do not expire. It cannot be combined with a ``delay``: such a publish throws
    /// `.unsupported`.
    public var expiration: Duration?
    /// The priority of the event over others in a queue, or `nil` for none. Higher ones are delivered first. Defaults to
    /// `nil`.
    ///
    /// On RabbitMQ, only a classic queue with the argument `x-max-priority` distinguishes all priorities, and a quorum
    /// queue distinguishes those above 4 from others since version 4.0. Other queues ignore it, and so does the
    /// in-memory broker.
    public var priority: UInt8?
    /// The headers that accompany the payload, such as `["tenant": "acme"]`. Defaults to none.
    public var headers: EventHeaders
    /// The key that orders the event among others, such as an order's number, or `nil` for the event's own
    /// ``Event/partitionKey``. Defaults to `nil`.
    public var partitionKey: String?
    /// A Boolean value indicating whether a publish without a matching subscription throws `.unroutable`. Otherwise the
    /// receipt reports it. An event with a ``delay`` is not checked, because it is routed only when it is due. Over
    /// RabbitMQ, an alternate exchange of the events exchange takes every event, so that none is reported. Defaults to
    /// `false`.
    public var requiresSubscriber: Bool
    /// The event's identity, or `nil` for a new one, which is derived from the handled event inside a handler
    /// (``SubscriptionOptions/derivesEventIDs``). Set it to publish the same event again after an unclear outcome,
    /// so that an ``Inbox`` can suppress the duplicate. Defaults to `nil`.
    public var id: EventID?
    /// The steps that encode the payload, or `nil` for ``EventBusConfiguration/payloadSteps``. An empty array leaves it
    /// as the codec encodes it. Defaults to `nil`.
    public var payloadSteps: [any PayloadStep]?
    /// The chain of causes that the event belongs to, or `nil` for that of the publishing handler or a new one. A blank
    /// one is stored as `nil`. Defaults to `nil`.
    public var correlationID: CorrelationID? {
        didSet { if correlationID?.isBlank == true { correlationID = nil } }
    }

    /// Creates options. Omitted values use the defaults.
    public init(
        deadline: Duration? = nil,
        delay: Duration = .zero,
        expiration: Duration? = nil,
        priority: UInt8? = nil,
        headers: EventHeaders = [:],
        partitionKey: String? = nil,
        requiresSubscriber: Bool = false,
        id: EventID? = nil,
        correlationID: CorrelationID? = nil,
        payloadSteps: [any PayloadStep]? = nil
    ) {
        self.deadline = deadline
        self.delay = delay
        self.expiration = expiration
        self.priority = priority
        self.headers = headers
        self.partitionKey = partitionKey
        self.requiresSubscriber = requiresSubscriber
        self.id = id
        self.payloadSteps = payloadSteps
        self.correlationID = correlationID?.isBlank == true ? nil : correlationID
    }
}
