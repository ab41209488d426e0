/// The options with which a transport sends an envelope.
public struct TransportPublishOptions: Hashable, Sendable {
    /// The time by which the call must have an outcome.
    public var deadline: AnyClock.Instant
    /// The time for which the broker holds the event before it routes it. Zero routes it immediately.
    public var delay: Duration
    /// The time for which the event may wait in a queue before it becomes a dead letter, or `nil` for any time.
    public var expiration: Duration?
    /// The priority of the event in queues that support priorities, or `nil` for none.
    public var priority: UInt8?

    /// Creates options. Omitted values use the defaults.
    public init(
        deadline: AnyClock.Instant,
        delay: Duration = .zero,
        expiration: Duration? = nil,
        priority: UInt8? = nil
    ) {
        self.deadline = deadline
        self.delay = delay
        self.expiration = expiration
        self.priority = priority
    }
}
