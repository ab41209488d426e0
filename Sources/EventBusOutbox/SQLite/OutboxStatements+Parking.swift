#if SQLite
internal import EventBus
internal import GRDB

extension OutboxStatements {
    /// Moves an event to the parked events.
    static func park(
        _ sequence: Int64,
        _ failure: Failure,
        from table: OutboxTable = .outbox,
        now: EventTime,
        in db: Database
    ) throws {
        try move(
            sequence,
            to: .parked,
            adding: [
                "attempts": failure.attempt, "parked_at": now.milliseconds, "reason": failure.reason.rawValue,
                "error_type": StoredText(failure.errorType), "message": StoredText(failure.message),
            ],
            from: table,
            in: db
        )
    }

    static func parked(limit: Int, in db: Database) throws -> [ParkedEvent] {
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT \(OutboxSchema.carriedColumns), sequence, attempts, parked_at, reason, error_type, message
                FROM eventbus_outbox_parked WHERE sequence >= ? ORDER BY sequence LIMIT ?
                """,
            arguments: [Int64.min, max(0, limit)]
        )
        var events: [ParkedEvent] = []
        while let row = try rows.next() {
            // Only the number has to be valid. An invalid value in another column must not hide the event.
            events.append(
                ParkedEvent(
                    id: try row.value("sequence"),
                    envelope: try? Envelope(row: row),
                    failure: Failure(
                        reason: Failure.Reason(rawValue: (try? row.value("reason")) ?? "unknown"),
                        errorType: (try? row.value("error_type")) ?? "unknown",
                        message: (try? row.value("message")) ?? "",
                        attempt: (try? row.value("attempts")) ?? 0
                    ),
                    storedAt: EventTime(milliseconds: (try? row.value("stored_at")) ?? 0),
                    parkedAt: EventTime(milliseconds: (try? row.value("parked_at")) ?? 0)
                )
            )
        }
        return events
    }

    /// Returns the numbers of at most `limit` parked events after `sequence`, in order.
    static func parkedSequences(after sequence: Int64, limit: Int, in db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            try db.cachedStatement(
                sql: "SELECT sequence FROM eventbus_outbox_parked WHERE sequence > ? ORDER BY sequence LIMIT ?"
            ),
            arguments: [sequence, limit]
        )
    }

    /// Returns a parked event to its place, before the events of its key that were stored after it.
    static func replay(_ sequence: Int64, in db: Database) throws -> Bool {
        guard try moveBack(sequence, from: .parked, in: db) else { return false }
        // The relay may have read the events that follow it.
        try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_outbox_state (id, replays) VALUES (1, 1)
                ON CONFLICT (id) DO UPDATE SET replays = (replays + 1) % 1000000000
                """
        ).execute()
        return true
    }

    /// Returns a number that changes with every replay.
    static func replayMark(in db: Database) throws -> DatabaseValue {
        try DatabaseValue.fetchOne(
            try db.cachedStatement(sql: "SELECT replays FROM eventbus_outbox_state WHERE id = 1")
        ) ?? .null
    }

    static func discard(_ sequence: Int64, in db: Database) throws -> Bool {
        try delete(sequence, from: .parked, in: db)
        return db.changesCount > 0
    }
}
#endif
