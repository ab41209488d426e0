#if SQLite
internal import EventBus
internal import GRDB

/// The statements of the inbox. Each function runs in the caller's transaction.
///
/// `now` is read inside the transaction, because a transaction may wait long for the one before it.
enum InboxStatements {
    private struct State {
        var fence: UInt64
        var isCompleted: Bool
        /// The end of the claim, or of the record's retention.
        var end: EventTime
        var lease: Duration
        /// The digest of the payload that was handled or is being handled, if it is known.
        var payloadDigest: UInt64?

        init(fence: UInt64, isCompleted: Bool, end: EventTime, lease: Duration) {
            (self.fence, self.isCompleted, self.end, self.lease) = (fence, isCompleted, end, lease)
        }

        /// Creates the state that a row contains.
        ///
        /// - Throws: An error if the row does not say whether the event was handled, or until when. Such a row is ignored,
        ///   because otherwise the subscription would wait until somebody corrects it.
        init(row: Row) throws {
            isCompleted = try row.value("is_completed")
            end = EventTime(milliseconds: try row.value("ends_at"))
            // No claim has the number zero.
            fence = UInt64(bitPattern: (try? row.value("fence")) ?? 0)
            lease = .milliseconds((try? row.value("lease") as Int64) ?? 0)
            payloadDigest = (try? row.value("payload_digest") as Int64).map { UInt64(bitPattern: $0) }
        }
    }

    /// Claims the event, or returns the reason why it cannot be claimed.
    static func begin(_ key: InboxKey, lease: Duration, now: EventTime, in db: Database) throws -> InboxDecision {
        try forget(now: now, in: db)
        if let state = try state(of: key, now: now, in: db) {
            if state.isCompleted { return key.decision(completedWith: state.payloadDigest) }
            return .inProgress(retryAfter: try timeLeft(state, key, lease, now, in: db))
        }
        let fence = try nextFence(now: now, in: db)
        try write(key, State(fence: fence, isCompleted: false, end: now + lease, lease: lease), in: db)
        return .new(InboxClaim(key: key, fence: fence))
    }

    /// Returns the time until a claim ends.
    ///
    /// A claim that ends later than its lease allows was made before the clock was set back. It ends one lease from now
    /// unless it is renewed, so that the event does not have to wait until the clock has caught up.
    private static func timeLeft(
        _ state: State,
        _ key: InboxKey,
        _ ownLease: Duration,
        _ now: EventTime,
        in db: Database
    ) throws -> Duration {
        let lease = state.lease > .zero ? state.lease : ownLease
        guard state.end > now + lease else { return state.end.since(now) }
        try db.cachedStatement(
            sql: "UPDATE eventbus_inbox SET ends_at = ? WHERE subscription = ? AND event_id = ? AND fence = ?"
        ).execute(
            arguments: [
                (now + lease).milliseconds, key.subscription, StoredText(key.eventID.rawValue),
                Int64(bitPattern: state.fence),
            ]
        )
        return lease
    }

    /// Extends an active claim.
    static func renew(_ claim: InboxClaim, lease: Duration, now: EventTime, in db: Database) throws {
        guard var state = try state(of: claim.key, now: now, in: db), state.fence == claim.fence else {
            throw EventBusError.notInForce(claim)
        }
        guard !state.isCompleted else { return }
        state.end = now + lease
        state.lease = lease
        try write(claim.key, state, in: db)
    }

    /// Records that the event was handled.
    static func complete(_ claim: InboxClaim, until end: EventTime, now: EventTime, in db: Database) throws {
        if let state = try state(of: claim.key, now: now, in: db), state.fence != claim.fence {
            throw EventBusError.replaced(claim, isCompleted: state.isCompleted)
        }
        try write(claim.key, State(fence: claim.fence, isCompleted: true, end: end, lease: .zero), in: db)
    }

    /// Ends a claim.
    static func abandon(_ claim: InboxClaim, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                DELETE FROM eventbus_inbox
                WHERE subscription = ? AND event_id = ? AND topic = ? AND fence = ? AND is_completed = 0
                """
        ).execute(
            arguments: [
                claim.key.subscription, StoredText(claim.key.eventID.rawValue), claim.key.topic.rawValue,
                Int64(bitPattern: claim.fence),
            ]
        )
    }

    /// Records that the event is handled in this transaction, unless it was handled before.
    ///
    /// Claims do not matter here: transactions are serialized, so the first one to commit has the effect. A claim keeps
    /// its fence, so that the bus that holds it can complete it afterwards.
    ///
    /// - Returns: `.new` if the event was not handled before.
    static func completeFirst(
        _ key: InboxKey,
        until end: EventTime,
        now: EventTime,
        in db: Database
    ) throws -> InboxDecision {
        try forget(now: now, in: db)
        let state = try state(of: key, now: now, in: db)
        if let state, state.isCompleted { return key.decision(completedWith: state.payloadDigest) }
        let fence = try state?.fence ?? nextFence(now: now, in: db)
        try write(key, State(fence: fence, isCompleted: true, end: end, lease: .zero), in: db)
        return .new(InboxClaim(key: key, fence: fence))
    }

    /// Returns the record that is still valid. A record without a topic was made by an earlier release and matches
    /// every topic.
    private static func state(of key: InboxKey, now: EventTime, in db: Database) throws -> State? {
        let rows = try Row.fetchCursor(
            try db.cachedStatement(
                sql: """
                    SELECT fence, is_completed, ends_at, lease, payload_digest FROM eventbus_inbox
                    WHERE subscription = ? AND event_id = ? AND topic IN (?, '') AND ends_at > ?
                    ORDER BY is_completed DESC, fence DESC
                    """
            ),
            arguments: [key.subscription, StoredText(key.eventID.rawValue), key.topic.rawValue, now.milliseconds]
        )
        while let row = try rows.next() {
            if let state = try? State(row: row) { return state }
        }
        return nil
    }

    private static func write(_ key: InboxKey, _ state: State, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO eventbus_inbox
                    (subscription, event_id, topic, fence, is_completed, ends_at, lease, payload_digest)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                key.subscription, StoredText(key.eventID.rawValue), key.topic.rawValue, Int64(bitPattern: state.fence),
                state.isCompleted, state.end.milliseconds, state.lease.inNanoseconds / 1_000_000,
                key.payloadDigest.map { Int64(bitPattern: $0) },
            ]
        )
    }

    /// Returns a number that no claim has. If the row contains no integer, the numbers continue from the time in
    /// microseconds, which is far beyond every count.
    private static func nextFence(now: EventTime, in db: Database) throws -> UInt64 {
        try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_inbox_fence (id, last) VALUES (1, 1)
                ON CONFLICT (id) DO UPDATE SET last =
                    CASE WHEN typeof(last) = 'integer' AND last < 9223372036854775807 THEN last + 1 ELSE ? END
                """
        ).execute(arguments: [max(1, now.milliseconds) &* 1000])
        let last = try Int64.fetchOne(try db.cachedStatement(sql: "SELECT last FROM eventbus_inbox_fence WHERE id = 1"))
        return UInt64(bitPattern: last ?? 0)
    }

    /// Deletes some expired records. It deletes more than one call adds, so that they cannot accumulate.
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
#endif
