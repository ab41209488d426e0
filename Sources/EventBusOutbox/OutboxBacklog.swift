package import EventBus

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

    /// Creates a backlog from the numbers of rows in each table and the times of the oldest events that could have been
    /// published.
    package init(waiting: Int, unrouted: Int, delayed: Int, parked: Int, oldest: [EventTime?], now: EventTime) {
        let oldest = oldest.compactMap(\.self).min()
        self.init(
            count: waiting + unrouted + delayed,
            oldestAge: oldest.map { max(.zero, now.since($0)) },
            parked: parked,
            delayed: delayed,
            withoutSubscriber: unrouted
        )
    }
}
