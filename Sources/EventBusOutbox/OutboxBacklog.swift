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
    /// A Boolean value indicating whether there are more events than the numbers tell.
    ///
    /// An outbox in PostgreSQL counts at most 100,000 events of each state, because counting takes long there. The age of
    /// the oldest event is exact.
    public var isLowerBound: Bool

    /// Creates a backlog with these numbers.
    public init(
        count: Int,
        oldestAge: Duration?,
        parked: Int,
        delayed: Int = 0,
        withoutSubscriber: Int = 0,
        isLowerBound: Bool = false
    ) {
        self.count = count
        self.oldestAge = oldestAge
        self.parked = parked
        self.delayed = delayed
        self.withoutSubscriber = withoutSubscriber
        self.isLowerBound = isLowerBound
    }

    /// Creates a backlog from the numbers of rows in each table and the times of the oldest events that could have been
    /// published.
    ///
    /// - Parameter limit: The number of rows of each table above which they were not counted.
    package init(
        waiting: Int,
        unrouted: Int,
        delayed: Int,
        parked: Int,
        limit: Int = .max,
        oldest: [EventTime?],
        now: EventTime
    ) {
        let oldest = oldest.compactMap(\.self).min()
        let counts = [waiting, unrouted, delayed, parked]
        let counted = counts.map { min($0, limit) }
        self.init(
            count: counted[0] + counted[1] + counted[2],
            oldestAge: oldest.map { max(.zero, now.since($0)) },
            parked: counted[3],
            delayed: counted[2],
            withoutSubscriber: counted[1],
            isLowerBound: counts != counted
        )
    }
}
