internal import EventBus
internal import GRDB

/// What the inbox says to the database. Each function runs in the caller's transaction.
enum InboxStore {
    /// What a record is about.
    struct Record: Sendable {
        var eventID: EventID
        var subscription: String
    }

    private struct State {
        var fence: UInt64
        var isCompleted: Bool
        var end: EventTime
    }

    /// Fences come from a row of their own: those of records that are gone must not come again.
    static let schema = """
        CREATE TABLE IF NOT EXISTS eventbus_inbox (
            subscription TEXT NOT NULL,
            event_id TEXT NOT NULL,
            fence INTEGER NOT NULL,
            is_completed INTEGER NOT NULL,
            ends_at INTEGER NOT NULL,
            UNIQUE (subscription, event_id)
        );
        CREATE INDEX IF NOT EXISTS eventbus_inbox_ends ON eventbus_inbox (ends_at);
        CREATE TABLE IF NOT EXISTS eventbus_inbox_fence (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            last INTEGER NOT NULL
        );
        """

    /// Claims the event, or says why it cannot be.
    static func begin(_ record: Record, until end: EventTime, now: EventTime, in db: Database) throws -> InboxDecision {
        try forget(now: now, in: db)
        if let state = try state(of: record, now: now, in: db) {
            return state.isCompleted ? .completed : .inProgress(retryAfter: state.end.since(now))
        }
        let fence = try nextFence(in: db)
        try write(record, State(fence: fence, isCompleted: false, end: end), in: db)
        return .new(InboxClaim(eventID: record.eventID, subscription: record.subscription, fence: fence))
    }

    static func complete(_ claim: InboxClaim, until end: EventTime, now: EventTime, in db: Database) throws {
        let record = Record(eventID: claim.eventID, subscription: claim.subscription)
        if let state = try state(of: record, now: now, in: db), state.fence != claim.fence {
            throw EventBusError(
                .leaseExpired,
                """
                the claim of \(claim.subscription) on event \(claim.eventID) ran out, and another \
                \(state.isCompleted ? "has handled it" : "handles it") by now; give claims a longer lease
                """
            )
        }
        try write(record, State(fence: claim.fence, isCompleted: true, end: end), in: db)
    }

    static func abandon(_ claim: InboxClaim, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                DELETE FROM eventbus_inbox
                WHERE subscription = ? AND event_id = ? AND fence = ? AND is_completed = 0
                """
        ).execute(arguments: [claim.subscription, claim.eventID.rawValue, Int64(bitPattern: claim.fence)])
    }

    /// Records that the event is handled in this very transaction, unless it was before.
    ///
    /// A claim does not matter: transactions come one after another, so the first to commit has the effect. It keeps its
    /// fence, so that a bus that holds it can complete it afterwards.
    ///
    /// - Returns: Whether it was not handled before.
    static func completeFirst(_ record: Record, until end: EventTime, now: EventTime, in db: Database) throws -> Bool {
        try forget(now: now, in: db)
        let state = try state(of: record, now: now, in: db)
        if state?.isCompleted == true { return false }
        let fence = try state?.fence ?? nextFence(in: db)
        try write(record, State(fence: fence, isCompleted: true, end: end), in: db)
        return true
    }

    /// What is recorded and still counts.
    private static func state(of record: Record, now: EventTime, in db: Database) throws -> State? {
        let row = try Row.fetchOne(
            try db.cachedStatement(
                sql: """
                    SELECT fence, is_completed, ends_at FROM eventbus_inbox
                    WHERE subscription = ? AND event_id = ? AND ends_at > ?
                    """
            ),
            arguments: [record.subscription, record.eventID.rawValue, now.milliseconds]
        )
        return try row.map { row in
            State(
                fence: UInt64(bitPattern: try row.value("fence")),
                isCompleted: try row.value("is_completed"),
                end: EventTime(milliseconds: try row.value("ends_at"))
            )
        }
    }

    private static func write(_ record: Record, _ state: State, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO eventbus_inbox (subscription, event_id, fence, is_completed, ends_at)
                VALUES (?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                record.subscription, record.eventID.rawValue, Int64(bitPattern: state.fence), state.isCompleted,
                state.end.milliseconds,
            ]
        )
    }

    private static func nextFence(in db: Database) throws -> UInt64 {
        try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_inbox_fence (id, last) VALUES (1, 1)
                ON CONFLICT (id) DO UPDATE SET last = last + 1
                """
        ).execute()
        let last = try Int64.fetchOne(try db.cachedStatement(sql: "SELECT last FROM eventbus_inbox_fence"))
        return UInt64(bitPattern: last ?? 1)
    }

    /// Deletes some records whose time is over: more than one call adds, so that they cannot pile up.
    private static func forget(now: EventTime, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                DELETE FROM eventbus_inbox WHERE rowid IN (
                    SELECT rowid FROM eventbus_inbox WHERE ends_at <= ? ORDER BY ends_at LIMIT 20
                )
                """
        ).execute(arguments: [now.milliseconds])
    }
}
