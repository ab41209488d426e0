package import EventBus

/// Events read from the outbox.
package struct FetchedEvents: Sendable {
    /// The first events of each lane, in order.
    package var runs: [[StoredEvent]] = []
    /// The number of rows that were read.
    package var count = 0
    /// The size of the events that were read.
    package var bytes = 0
    /// The rows without a valid envelope, which are already parked.
    package var unreadable: [Settlement.ParkedRow] = []
    /// A Boolean value indicating whether there are more rows.
    package var isCut = false
    /// The due time of the next event that is not due yet.
    package var nextDue: EventTime?
    /// The time at which the next topic without a subscription is tried again.
    package var nextTopic: EventTime?
    /// The topics without a subscription, or `nil` if there are none.
    package var unrouted: UnroutedTopics?

    package init(runs: [[StoredEvent]] = [], count: Int = 0, isCut: Bool = false, nextDue: EventTime? = nil) {
        self.runs = runs
        self.count = count
        self.isCut = isCut
        self.nextDue = nextDue
    }
}

/// The topics without a subscription that have waiting events.
package struct UnroutedTopics: Hashable, Sendable, CustomStringConvertible {
    /// The maximum number of topics that are named.
    package static let shown = 5

    package var names: [String]
    package var count: Int

    package init(names: [String], count: Int) {
        self.names = names
        self.count = count
    }

    package var description: String {
        names.map { String(loggable: $0) }.joined(separator: ", ")
            + (count > names.count ? " and \(count - names.count) more" : "")
    }
}
