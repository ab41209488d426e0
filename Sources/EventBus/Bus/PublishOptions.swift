/// How one event is published.
public struct PublishOptions: Sendable {
    /// How long publishing may take before it throws; `nil` for ``EventBusConfiguration/publishTimeout``.
    public var deadline: Duration?
    /// How long the broker holds the event before subscribers see it; zero for at once. Local listeners do not see an
    /// event with a delay.
    public var delay: Duration
    /// What travels beside the payload.
    public var headers: EventHeaders
    /// What orders the event among others; `nil` for the event's own ``Event/partitionKey``.
    public var partitionKey: String?
    /// Whether it is an error (`.unroutable`) that no subscription matches. Otherwise the receipt says so.
    public var requiresSubscriber: Bool
    /// The event's identity; `nil` for a new one. Give one to publish the same event again after an unclear outcome,
    /// so that an ``Inbox`` can tell.
    public var id: EventID?
    /// The chain the event belongs to; `nil` for that of the handler it is published in, or a chain of its own. A blank
    /// one is stored as `nil`.
    public var correlationID: CorrelationID? {
        didSet { if correlationID?.isBlank == true { correlationID = nil } }
    }

    /// Options; what is left out is as an ordinary event wants it.
    public init(
        deadline: Duration? = nil,
        delay: Duration = .zero,
        headers: EventHeaders = [:],
        partitionKey: String? = nil,
        requiresSubscriber: Bool = false,
        id: EventID? = nil,
        correlationID: CorrelationID? = nil
    ) {
        self.deadline = deadline
        self.delay = delay
        self.headers = headers
        self.partitionKey = partitionKey
        self.requiresSubscriber = requiresSubscriber
        self.id = id
        self.correlationID = correlationID?.isBlank == true ? nil : correlationID
    }
}

/// What became of one published event: the broker has it, or no one asked for it.
public struct PublishReceipt: Hashable, Sendable {
    /// The event's identity.
    public var id: EventID
    /// What the broker did with it.
    public var outcome: PublishOutcome

    /// A receipt.
    public init(id: EventID, outcome: PublishOutcome) {
        self.id = id
        self.outcome = outcome
    }
}
