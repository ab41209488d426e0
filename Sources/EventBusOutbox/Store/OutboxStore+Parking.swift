internal import EventBus
internal import GRDB

extension OutboxStore {
    /// Moves an event to the parked ones.
    static func park(_ sequence: Int64, _ failure: Failure, now: EventTime, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO eventbus_outbox_parked
                    (sequence, \(OutboxSchema.carriedColumns), attempts, parked_at, reason, error_type, message)
                SELECT sequence, \(OutboxSchema.carriedColumns), ?, ?, ?, ?, ?
                FROM eventbus_outbox WHERE sequence = ?
                """
        ).execute(
            arguments: [
                failure.attempt, now.milliseconds, failure.reason.rawValue, failure.errorType, failure.message,
                sequence,
            ]
        )
        try db.cachedStatement(sql: "DELETE FROM eventbus_outbox WHERE sequence = ?").execute(arguments: [sequence])
    }

    static func parked(limit: Int, in db: Database) throws -> [ParkedEvent] {
        let rows = try Row.fetchCursor(
            db,
            sql: """
                SELECT \(OutboxSchema.carriedColumns), sequence, attempts, parked_at, reason, error_type, message
                FROM eventbus_outbox_parked ORDER BY sequence LIMIT ?
                """,
            arguments: [max(0, limit)]
        )
        var events: [ParkedEvent] = []
        while let row = try rows.next() {
            events.append(
                ParkedEvent(
                    id: try row.value("sequence"),
                    envelope: try? Envelope(row: row),
                    failure: Failure(
                        reason: Failure.Reason(rawValue: try row.value("reason")),
                        errorType: try row.value("error_type"),
                        message: try row.value("message"),
                        attempt: try row.value("attempts")
                    ),
                    storedAt: EventTime(milliseconds: (try? row.value("stored_at")) ?? 0),
                    parkedAt: EventTime(milliseconds: try row.value("parked_at"))
                )
            )
        }
        return events
    }

    static func parkedSequences(in db: Database) throws -> [Int64] {
        try Int64.fetchAll(db, sql: "SELECT sequence FROM eventbus_outbox_parked ORDER BY sequence")
    }

    /// Puts a parked event back under a new number, behind the others of its key.
    static func replay(_ sequence: Int64, in db: Database) throws -> Bool {
        try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_outbox (\(OutboxSchema.carriedColumns), due_at)
                SELECT \(OutboxSchema.carriedColumns),
                    CASE WHEN EXISTS (
                        SELECT 1 FROM eventbus_outbox AS other
                        WHERE other.partition_key = eventbus_outbox_parked.partition_key
                    ) THEN NULL ELSE 0 END
                FROM eventbus_outbox_parked WHERE sequence = ?
                """
        ).execute(arguments: [sequence])
        return try discard(sequence, in: db)
    }

    static func discard(_ sequence: Int64, in db: Database) throws -> Bool {
        try db.cachedStatement(sql: "DELETE FROM eventbus_outbox_parked WHERE sequence = ?")
            .execute(arguments: [sequence])
        return db.changesCount > 0
    }
}
