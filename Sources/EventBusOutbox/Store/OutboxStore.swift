package import EventBus

/// A place where the events of an outbox are stored, as one relay uses it.
///
/// The relay decides which event is published when, and what an outcome means for it. A store keeps the rows, and
/// answers with the events that may be published. Each operation is one transaction, and a relay calls one at a time.
///
/// A store guarantees:
///
/// - It returns an event only if its transaction has committed, and every such event until it is settled.
/// - Only the first event of a key that is in the outbox begins a run, unless the key is busy, and the rest of the run
///   follows in order. Events that were set aside, delayed or parked are not in the outbox and block nobody.
/// - At most one relay at a time has the lease. Every other one is told to stand by.
package protocol OutboxStore: Sendable {
    /// Writes the outcomes of events, renews the lease, and reads more events.
    ///
    /// - Returns: `nil` if another relay publishes. Of the outcomes, only ``Settlement/publishedOnly`` has been written
    ///   then.
    func exchange(_ request: ExchangeRequest) async throws -> ExchangeAnswer?

    /// Writes the last outcomes, even if the calling task is cancelled, and lets another relay take over.
    func finish(_ settlement: Settlement) async throws

    /// Ends the store's connections, after ``finish(_:)`` or instead of it if the database does not answer.
    func close() async

    /// Counts the events.
    func backlog() async throws -> OutboxBacklog

    /// Calls `onCommit` soon after a transaction that stored an event has committed, where the store notices that
    /// without being asked.
    ///
    /// - Returns: A function that ends the calls.
    func observeCommits(_ onCommit: @escaping @Sendable () -> Void) -> @Sendable () -> Void
}

extension OutboxStore {
    /// Does nothing.
    package func close() async {}
}

/// The settings that a relay gives its store.
package struct StoreSettings: Sendable {
    /// The identity of the relay among all relays on the same rows.
    package var owner = EventID().rawValue
    package var leaseDuration: Duration
    /// The maximum interval between attempts for a topic without a subscription.
    package var maximumRetryInterval: Duration
    /// The longest interval between attempts of any kind.
    package var longestInterval: Duration
    package var requiresSubscriber: Bool
    /// The longest delay that the broker supports.
    package var maximumDelay: Duration
    package var wallClock: WallClock

    package init(_ configuration: OutboxRelay.Configuration, maximumDelay: Duration, wallClock: WallClock) {
        leaseDuration = configuration.leaseDuration
        maximumRetryInterval = configuration.maximumRetryInterval
        longestInterval = configuration.longestInterval
        requiresSubscriber = configuration.requiresSubscriber
        self.maximumDelay = maximumDelay
        self.wallClock = wallClock
    }

    /// The number of events of one key that are read together.
    package static let depthOfLane = 100

    /// The delays between attempts for a topic without a subscription.
    package var subscriberWait: RetryPolicy { .subscriberWait(maximum: maximumRetryInterval) }

    /// Returns the terms of a read at `now`.
    package func terms(now: EventTime, room: Room) -> ReadingTerms {
        ReadingTerms(
            now: now,
            maximumDelay: maximumDelay,
            requiresSubscriber: requiresSubscriber,
            maximumBytes: room.bytes
        )
    }
}

/// The input of one exchange.
package struct ExchangeRequest: Sendable {
    package var settlement: Settlement
    /// The lanes that must not be read.
    package var busy: Set<Lane>
    package var room: Room
    /// A Boolean value indicating whether events wait although nothing is due.
    package var isStranded: Bool

    package init(settlement: Settlement, busy: Set<Lane>, room: Room, isStranded: Bool = false) {
        self.settlement = settlement
        self.busy = busy
        self.room = room
        self.isStranded = isStranded
    }
}

/// The result of an exchange for the publishing relay.
package struct ExchangeAnswer: Sendable {
    package var taking: FetchedEvents
    package var leaseEnd: EventTime
    /// The topics that have just turned out to have no subscription.
    package var newlyUnrouted: [String]
    /// A Boolean value indicating whether events returned to the outbox that precede events already read.
    package var isStale: Bool

    package init(taking: FetchedEvents, leaseEnd: EventTime, newlyUnrouted: [String], isStale: Bool) {
        self.taking = taking
        self.leaseEnd = leaseEnd
        self.newlyUnrouted = newlyUnrouted
        self.isStale = isStale
    }
}
