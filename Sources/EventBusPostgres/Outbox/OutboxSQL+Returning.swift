internal import EventBus
internal import EventBusOutbox

/// The statements that return events to the outbox, and that repair what others have changed.
extension OutboxSQL {
    static func returnDelayed(now: EventTime) -> PostgresStatement {
        returnEvents(
            from: .delayed,
            where: "ready_at <= ?::bigint ORDER BY ready_at",
            .integer(now.milliseconds),
            dueAt: now.milliseconds
        )
    }

    static func returnUnrouted(_ topic: String, now: EventTime) -> PostgresStatement {
        returnEvents(
            from: .unrouted,
            where: "topic = ?::text ORDER BY sequence",
            .text(topic),
            dueAt: now.milliseconds
        )
    }

    /// Returns a parked event to its place. The time is one that no relay has passed over.
    static func replay(_ sequence: Int64) -> [PostgresStatement] {
        [
            returnEvents(from: .parked, where: "sequence = ?::bigint", .integer(sequence), dueAt: 1),
            noteReplay,
        ]
    }

    /// Makes the relay read everything again, because it may have read the events that follow one that came back.
    static let noteReplay = PostgresStatement(
        "UPDATE eventbus_outbox_state SET replays = (replays + 1) % 1000000000 WHERE id = 1"
    )

    private static func returnEvents(
        from table: OutboxTable,
        where condition: String,
        _ value: PostgresValue,
        dueAt: Int64
    ) -> PostgresStatement {
        PostgresStatement(
            """
            WITH gone AS (
                DELETE FROM \(table.rawValue) WHERE sequence IN (
                    SELECT sequence FROM \(table.rawValue) WHERE \(condition) LIMIT \(returning)
                ) RETURNING *
            )
            INSERT INTO eventbus_outbox (sequence, \(columns), due_at)
            SELECT \(free(in: .outbox)), \(columns), ?::bigint FROM gone
            """,
            [value, .integer(dueAt)]
        )
    }

    // MARK: Repairing

    /// Corrects times that are further ahead than possible, because a clock was set back after they were stored.
    static func repairValues(now: EventTime, latest: EventTime) -> [PostgresStatement] {
        [
            PostgresStatement(
                "UPDATE eventbus_outbox SET due_at = ?::bigint WHERE due_at > ?::bigint OR due_at < 0",
                [.integer(now.milliseconds), .integer(latest.milliseconds)]
            ),
            PostgresStatement(
                "UPDATE eventbus_outbox_topic SET next_at = 1 WHERE next_at > ?::bigint",
                [.integer(latest.milliseconds)]
            ),
            // A delay continues from now with the time that was left when it was stored.
            PostgresStatement(
                """
                UPDATE eventbus_outbox_delayed
                SET ready_at = ready_at - (stored_at - now), deliver_at = deliver_at - (stored_at - now), stored_at = now
                FROM (SELECT ?::bigint AS now) AS clock
                WHERE stored_at > now + 60000
                """,
                [.integer(now.milliseconds)]
            ),
        ]
    }

    /// Makes events due that nothing else makes due, because somebody has changed rows.
    static func repairStranded(now: EventTime) -> [PostgresStatement] {
        [
            PostgresStatement(
                """
                UPDATE eventbus_outbox SET due_at = ?::bigint WHERE sequence IN (
                    SELECT sequence FROM eventbus_outbox AS event
                    WHERE due_at IS NULL AND NOT \(hasEarlier) LIMIT \(returning)
                )
                """,
                [.integer(now.milliseconds)]
            ),
            PostgresStatement(
                """
                INSERT INTO eventbus_outbox_topic (topic, tries, next_at)
                SELECT topic, 1, 1 FROM eventbus_outbox_unrouted GROUP BY topic ON CONFLICT DO NOTHING
                """
            ),
        ]
    }
}
