#if SQLite
internal import EventBus
internal import Foundation
internal import GRDB

/// The store of a relay in SQLite. The time is read inside each transaction.
final class SQLiteOutboxStore: OutboxStore {
    private struct State {
        /// The last key whose order was repaired, or `nil` if there is nothing to repair.
        var repairKey: DatabaseValue?
        /// The mark of the last replay that was processed.
        var replayMark: DatabaseValue?
    }

    private let writer: any DatabaseWriter
    private let settings: StoreSettings
    /// The state after the last exchange that was committed.
    private let state = Locked(State())

    init(writer: any DatabaseWriter, settings: StoreSettings) {
        self.writer = writer
        self.settings = settings
    }

    func exchange(_ request: ExchangeRequest) async throws -> ExchangeAnswer? {
        let before = state.withLock { $0 }
        let exchanged = try await writer.write { db -> (ExchangeAnswer, State)? in
            let now = settings.wallClock.now
            guard let lease = try acquire(now: now, in: db) else {
                try OutboxStatements.settle(request.settlement.publishedOnly, now: now, in: db)
                return nil
            }
            let newlyUnrouted = try settle(request.settlement, now: now, in: db)
            var repairKey = before.repairKey
            if lease.isNew {
                // Another relay may have held events that this one could publish.
                try OutboxStatements.releaseHeld(in: db)
                repairKey = Self.firstKey
            }
            if request.isStranded {
                try OutboxStatements.repairStranded(in: db)
                repairKey = Self.firstKey
            }
            if let key = repairKey { repairKey = try OutboxStatements.repair(after: key, in: db) }
            try OutboxStatements.repairValues(now: now, maximumInterval: settings.longestInterval, in: db)
            let replayMark = try OutboxStatements.replayMark(in: db)
            var taking = try OutboxStatements.take(
                limit: request.room.events,
                depth: StoreSettings.depthOfLane,
                excluding: request.busy,
                terms: settings.terms(now: now, room: request.room),
                in: db
            )
            if repairKey != nil { taking.isCut = true }
            let answer = ExchangeAnswer(
                taking: taking,
                leaseEnd: lease.until,
                newlyUnrouted: newlyUnrouted,
                isStale: before.replayMark.map { $0 != replayMark } ?? false
            )
            return (answer, State(repairKey: repairKey, replayMark: replayMark))
        }
        guard let (answer, after) = exchanged else { return nil }
        state.withLock { $0 = after }
        return answer
    }

    func finish(_ settlement: Settlement) async throws {
        // Even if the task was cancelled, because confirmed events must not be published again.
        try await withoutCancellation { [self] in
            try await writer.write { [self] db in
                let now = settings.wallClock.now
                let lease = try acquire(now: now, in: db)
                try settle(lease == nil ? settlement.publishedOnly : settlement, now: now, in: db)
                try OutboxStatements.release(settings.owner, in: db)
            }
        }
    }

    func backlog() async throws -> OutboxBacklog {
        try await writer.read { [settings] db in try OutboxStatements.backlog(now: settings.wallClock.now, in: db) }
    }

    func observeCommits(_ onCommit: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        let observer = InsertObserver(onCommit: onCommit)
        writer.add(transactionObserver: observer, extent: .observerLifetime)
        return { [writer] in writer.remove(transactionObserver: observer) }
    }

    private func acquire(now: EventTime, in db: Database) throws -> (until: EventTime, isNew: Bool)? {
        try OutboxStatements.acquire(settings.owner, duration: settings.leaseDuration, now: now, in: db)
    }

    @discardableResult
    private func settle(_ settlement: Settlement, now: EventTime, in db: Database) throws -> [String] {
        try OutboxStatements.settle(settlement, retry: settings.subscriberWait, now: now, in: db)
    }

    /// The key that comes before all others.
    private static let firstKey = Data().databaseValue
}
#endif
