/// The number of events in an outbox, by their state.
///
/// ```swift
/// let backlog = try await database.read { db in try outbox.backlog(in: db) }
/// ```
public struct OutboxBacklog: Hashable, Sendable {
    /// The number of events that wait to be published, including those in ``delayed`` and ``withoutSubscriber``.
    public var count: Int
    /// The age of the oldest event that could have been published by now, or `nil` if there is none.
    public var oldestAge: Duration?
    /// The number of parked events. The relay has given them up, and they wait to be replayed or discarded.
    public var parked: Int
    /// The number of events that wait in the database because their delay exceeds the limit of the broker.
    public var delayed: Int
    /// The number of events that wait because their topic has no subscription.
    public var withoutSubscriber: Int

    /// Creates a backlog with these numbers.
    public init(count: Int, oldestAge: Duration?, parked: Int, delayed: Int = 0, withoutSubscriber: Int = 0) {
        self.count = count
        self.oldestAge = oldestAge
        self.parked = parked
        self.delayed = delayed
        self.withoutSubscriber = withoutSubscriber
    }
}
