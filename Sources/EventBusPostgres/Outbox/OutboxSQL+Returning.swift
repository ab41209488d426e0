internal import EventBus
internal import EventBusOutbox

/// The statements that return events to the outbox, and that repair what others have changed.
extension OutboxSQL {
    static func returnDelayed(now: EventTime) -> PostgresStatement {
        returnEvents(
            from: .delayed,
            where: "ready_at <= ?::bigint ORDER BY ready_at",
            [.integer(now.milliseconds)],
            dueAt: now.milliseconds
        )
    }

    static func returnUnrouted(_ topic: String, now: EventTime) -> PostgresStatement {
        returnEvents(
            from: .unrouted,
            where: "\(isTopic("?::text")) ORDER BY topic, sequence",
            [.text(topic), .text(topic)],
            dueAt: now.milliseconds
        )
    }

    /// Returns a parked event to its place. The time is one that no relay has passed over.
    static func replay(_ sequence: Int64) -> [PostgresStatement] {
        [
            returnEvents(from: .parked, where: "sequence = ?::bigint", [.integer(sequence)], dueAt: 1),
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
        _ values: [PostgresValue],
        dueAt: Int64
    ) -> PostgresStatement {
        PostgresStatement(
            """
            WITH gone AS (
                DELETE FROM \(table.rawValue) WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM \(table.rawValue) WHERE \(condition) LIMIT \(returning)
                )) RETURNING *
            )
            INSERT INTO eventbus_outbox (sequence, \(columns), due_at)
            SELECT \(free(in: .outbox)), \(columns), ?::bigint FROM gone
            """,
            values + [.integer(dueAt)]
        )
    }

    // MARK: Repairing

    /// The number of rows that one repair of ``repairStranded(after:now:)`` looks at.
    static let repairing = 5000

    /// Corrects times that are further ahead than possible, because a clock was set back after they were stored: at most
    /// ``returning`` of each kind.
    static func repairValues(now: EventTime, latest: EventTime) -> [PostgresStatement] {
        [
            PostgresStatement(
                """
                UPDATE eventbus_outbox SET due_at = ?::bigint WHERE ctid = ANY (ARRAY(
                    (SELECT ctid FROM eventbus_outbox WHERE due_at > ?::bigint ORDER BY due_at LIMIT \(returning))
                    UNION ALL
                    (SELECT ctid FROM eventbus_outbox WHERE due_at < 0 ORDER BY due_at LIMIT \(returning))
                ))
                """,
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
                WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM eventbus_outbox_delayed
                    WHERE stored_at > ?::bigint ORDER BY stored_at LIMIT \(returning)
                ))
                """,
                [.integer(now.milliseconds), .integer(now.milliseconds + 60000)]
            ),
        ]
    }

    /// Makes events due that nothing else makes due, because somebody has changed rows. It looks at ``repairing`` events
    /// behind others, from a number on, and returns the last number and how many they were.
    ///
    /// Only the first event of a key among them can be the first of all, so many events of one key cost little.
    static func repairStranded(after sequence: Int64, now: EventTime) -> PostgresStatement {
        PostgresStatement(
            """
            WITH seen AS MATERIALIZED (
                SELECT ctid AS row, sequence, partition_key FROM eventbus_outbox
                WHERE due_at IS NULL AND sequence > ?::bigint
                ORDER BY due_at, sequence LIMIT \(repairing)
            ), heads AS MATERIALIZED (
                SELECT event.row FROM (
                    SELECT *, \(placeInKey) AS place FROM seen
                ) AS event
                WHERE place = 1 AND (partition_key IS NULL OR NOT \(hasEarlier))
            ), repaired AS (
                UPDATE eventbus_outbox SET due_at = ?::bigint WHERE ctid = ANY (ARRAY(SELECT heads.row FROM heads))
            )
            SELECT max(sequence), count(*) FROM seen
            """,
            [.integer(sequence), .integer(now.milliseconds)]
        )
    }

    /// Makes topics known whose events were set aside. It steps from topic to topic instead of reading all events.
    static let repairTopics = PostgresStatement(
        """
        WITH RECURSIVE aside AS (
            (SELECT topic FROM eventbus_outbox_unrouted ORDER BY topic, sequence LIMIT 1)
            UNION ALL
            SELECT (
                SELECT event.topic FROM eventbus_outbox_unrouted AS event WHERE event.topic > aside.topic
                ORDER BY event.topic, event.sequence LIMIT 1
            )
            FROM aside WHERE topic IS NOT NULL
        )
        INSERT INTO eventbus_outbox_topic (topic, tries, next_at)
        SELECT topic, 1, 1 FROM aside WHERE topic IS NOT NULL ON CONFLICT DO NOTHING
        """
    )
}
