/// The number of events in an outbox, by their state.
public struct OutboxBacklog: Hashable, Sendable {
    /// The events that wait to be published, those in ``delayed`` and ``withoutSubscriber`` included.
    public var count: Int
    /// The age of the oldest event that could have been published by now; `nil` if there is none.
    public var oldestAge: Duration?
    /// The events that were given up and wait for someone to look at them.
    public var parked: Int
    /// The events whose delay is longer than the broker can hold them, and which wait in the database until it can.
    public var delayed: Int
    /// The events that nobody subscribes to.
    public var withoutSubscriber: Int

    /// Creates a backlog of this size.
    public init(count: Int, oldestAge: Duration?, parked: Int, delayed: Int = 0, withoutSubscriber: Int = 0) {
        self.count = count
        self.oldestAge = oldestAge
        self.parked = parked
        self.delayed = delayed
        self.withoutSubscriber = withoutSubscriber
    }
}
