internal import EventBus
internal import Foundation
internal import GRDB

/// The database operations of a relay, each in one transaction. The time is read inside each transaction.
struct RelayDatabase: Sendable {
    /// The input of one exchange.
    struct Request: Sendable {
        var settlement: Settlement
        var busy: Set<Lane>
        var room: Room
        /// The last key whose order was repaired, or `nil` if there is nothing to repair.
        var repairKey: DatabaseValue?
        /// A Boolean value indicating whether events wait although nothing is due.
        var isStranded = false
        /// The mark of the last replay that was processed.
        var replayMark: DatabaseValue?
    }

    /// The result of an exchange for the publishing relay.
    struct Answer: Sendable {
        var taking: Taking
        var leaseEnd: EventTime
        var repairKey: DatabaseValue?
        var replayMark: DatabaseValue
        /// The topics that have just turned out to have no subscription.
        var newlyUnrouted: [String]
        /// A Boolean value indicating whether events returned to the outbox that precede events already read.
        var isStale: Bool
    }

    /// The identity of this relay among all relays on the database.
    let owner = EventID().rawValue
    let writer: any DatabaseWriter
    let settings: OutboxRelay.Configuration
    let wallClock: WallClock
    let maximumDelay: Duration

    /// Writes the outcomes of events, renews the lease, and reads more events, all in one transaction.
    ///
    /// - Returns: `nil` if another relay publishes.
    func exchange(_ request: Request) async throws -> Answer? {
        try await writer.write { db in
            let now = wallClock.now
            guard let lease = try OutboxStore.acquire(owner, duration: settings.leaseDuration, now: now, in: db) else {
                try OutboxStore.settle(request.settlement.publishedOnly, now: now, in: db)
                return nil
            }
            let newlyUnrouted = try settle(request.settlement, now: now, in: db)
            var repairKey = request.repairKey
            if lease.isNew {
                // Another relay may have held events that this one could publish.
                try OutboxStore.releaseHeld(in: db)
                repairKey = Self.firstKey
            }
            if request.isStranded {
                try OutboxStore.repairStranded(in: db)
                repairKey = Self.firstKey
            }
            if let key = repairKey { repairKey = try OutboxStore.repair(after: key, in: db) }
            try OutboxStore.repairValues(now: now, maximumInterval: settings.longestInterval, in: db)
            let replayMark = try OutboxStore.replayMark(in: db)
            var taking = try OutboxStore.take(
                limit: request.room.events,
                depth: Self.depthOfLane,
                excluding: request.busy,
                terms: OutboxStore.Terms(
                    now: now,
                    maximumDelay: maximumDelay,
                    requiresSubscriber: settings.requiresSubscriber,
                    maximumBytes: request.room.bytes
                ),
                in: db
            )
            if repairKey != nil { taking.isCut = true }
            return Answer(
                taking: taking,
                leaseEnd: lease.until,
                repairKey: repairKey,
                replayMark: replayMark,
                newlyUnrouted: newlyUnrouted,
                isStale: request.replayMark.map { $0 != replayMark } ?? false
            )
        }
    }

    /// Writes the last outcomes, and lets another relay take over.
    func finish(_ settlement: Settlement) async throws {
        // Even if the task was cancelled, because confirmed events must not be published again.
        try await withoutCancellation {
            try await writer.write { db in
                let now = wallClock.now
                let lease = try OutboxStore.acquire(owner, duration: settings.leaseDuration, now: now, in: db)
                try settle(lease == nil ? settlement.publishedOnly : settlement, now: now, in: db)
                try OutboxStore.release(owner, in: db)
            }
        }
    }

    /// Counts the events.
    func backlog() async throws -> OutboxBacklog {
        try await writer.read { db in try OutboxStore.backlog(now: wallClock.now, in: db) }
    }

    @discardableResult
    private func settle(_ settlement: Settlement, now: EventTime, in db: Database) throws -> [String] {
        try OutboxStore.settle(
            settlement,
            retry: .subscriberWait(maximum: settings.maximumRetryInterval),
            now: now,
            in: db
        )
    }

    /// The key that comes before all others.
    private static let firstKey = Data().databaseValue
    /// The number of events of one key that are read together.
    private static let depthOfLane = 100
}
