internal import EventBus
internal import Foundation
internal import GRDB

/// The database of a relay: what it writes and reads in one transaction. The time is read inside each.
struct RelayDatabase: Sendable {
    /// What a relay asks of one exchange.
    struct Request: Sendable {
        var settlement: Settlement
        var busy: Set<Lane>
        var room: Int
        /// The key behind which the order of keys is repaired; `nil` if there is nothing to repair.
        var repairKey: DatabaseValue?
        /// The mark of the last replay that was taken in.
        var replayMark: DatabaseValue?
    }

    /// What a relay that publishes gets.
    struct Answer: Sendable {
        var taking: Taking
        var leaseEnd: EventTime
        var repairKey: DatabaseValue?
        var replayMark: DatabaseValue
        /// Topics that have just turned out to have no subscription.
        var newlyUnrouted: [String]
        /// Whether events went back to the outbox that come before others.
        var isStale: Bool
    }

    /// Tells this relay from every other one on the database.
    let owner = EventID().rawValue
    let writer: any DatabaseWriter
    let settings: OutboxRelay.Configuration
    let wallClock: WallClock
    let maximumDelay: Duration

    /// Writes down the outcomes of events, holds on to the lease, and reads more: in one transaction.
    ///
    /// - Returns: `nil` where another relay publishes.
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
                // Also another relay may have held up what this one could publish.
                try OutboxStore.releaseHeld(in: db)
                repairKey = Data().databaseValue
            }
            if let key = repairKey { repairKey = try OutboxStore.repair(after: key, in: db) }
            try OutboxStore.repairTimes(now: now, maximumInterval: settings.longestInterval, in: db)
            let replayMark = try OutboxStore.replayMark(in: db)
            var taking = try OutboxStore.take(
                limit: request.room,
                depth: Self.depthOfLane,
                excluding: request.busy,
                terms: OutboxStore.Terms(
                    now: now,
                    maximumDelay: maximumDelay,
                    requiresSubscriber: settings.requiresSubscriber
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

    /// Writes down the last outcomes, and lets another relay take over.
    func finish(_ settlement: Settlement) async throws {
        // Also where the task was cancelled: what was confirmed is not to go out again.
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

    /// How many events of one key are read at a time.
    private static let depthOfLane = 100
}
