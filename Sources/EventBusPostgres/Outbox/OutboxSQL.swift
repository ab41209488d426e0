internal import EventBus
internal import EventBusOutbox

/// The statements of the outbox.
enum OutboxSQL {
    /// The number of events that return to the outbox in one transaction.
    static let returning = 1000

    static let columns = EventColumns.carried

    // A planner with wrong statistics reads a whole backlog to find a few rows, so the statements leave it no choice.
    // - The first event of a key or of a topic is found by an order that begins with the key. In a comparison with "=" the
    //   key would count as constant, and the index of all numbers would do.
    // - Rows that a query has found are changed by their place in the table (`ctid`) instead of joined by their number.

    /// The condition that an event waits as it was stored, and has at least a number.
    static let isStored = "(due_at, sequence) >= (0, ?::bigint) AND due_at <= 0"

    /// The condition that an event of the table `event` is not the first of its key.
    static let hasEarlier = "event.sequence > (\(first("first.sequence", ofKey: "event.partition_key")))"

    /// The query for columns of the first event of a key.
    private static func first(_ columns: String, ofKey key: String) -> String {
        """
        SELECT \(columns) FROM eventbus_outbox AS first
        WHERE first.partition_key >= \(key) AND first.partition_key <= \(key)
        ORDER BY first.partition_key, first.sequence LIMIT 1
        """
    }

    /// The condition that an event that was set aside is of a topic.
    static func isTopic(_ topic: String) -> String { "topic >= \(topic) AND topic <= \(topic)" }

    /// The place of an event among those of its key in a selection.
    static let placeInKey = """
        row_number() OVER (
            PARTITION BY partition_key, CASE WHEN partition_key IS NULL THEN sequence END ORDER BY sequence
        )
        """
    /// The server's time in milliseconds. Leases use it, because the relays are on several hosts.
    private static let serverTime = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

    static func insert(_ row: OutboxRow) throws -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO eventbus_outbox (\(columns)) VALUES (
                ?::text, ?::text, ?::text, ?::text, ?::bigint, ?::bigint, ?::text, ?::text, ?::text, ?::text, \
            ?::bytea, ?::bigint, ?::bigint, ?::boolean
            )
            """,
            try row.envelope.columnValues() + [
                .integer(row.storedAt.milliseconds), PostgresValue(row.deliverAt?.milliseconds),
                .boolean(row.requiresSubscriber),
            ]
        )
    }

    /// Marks a transaction as one of a relay, of which no relay is notified.
    static let mark = PostgresStatement("SET LOCAL eventbus.relay = 'on'")

    // MARK: Lease

    /// Locks the lease, so that exchanges follow one another, and returns whether it is that of `owner`, whether it is
    /// free, and the milliseconds that are left of it. One that is left longer than it can be was taken before the server's
    /// clock was set back, and is free.
    static func lockLease(_ owner: String) -> [PostgresStatement] {
        [
            PostgresStatement(
                """
                INSERT INTO eventbus_outbox_relay (id, owner, expires_at, duration) VALUES (1, '', 0, 0)
                ON CONFLICT DO NOTHING
                """
            ),
            PostgresStatement(
                """
                SELECT owner = ?::text AND expires_at > \(serverTime),
                    expires_at <= \(serverTime) OR expires_at > \(serverTime) + 2 * duration,
                    expires_at - \(serverTime)
                FROM eventbus_outbox_relay WHERE id = 1 FOR UPDATE
                """,
                [.text(owner)]
            ),
        ]
    }

    static func takeLease(_ owner: String, milliseconds: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox_relay
            SET owner = ?::text, expires_at = \(serverTime) + ?::bigint, duration = ?::bigint WHERE id = 1
            """,
            [.text(owner), .integer(milliseconds), .integer(milliseconds)]
        )
    }

    static func releaseLease(_ owner: String) -> PostgresStatement {
        PostgresStatement(
            "UPDATE eventbus_outbox_relay SET expires_at = 0 WHERE id = 1 AND owner = ?::text",
            [.text(owner)]
        )
    }

    // MARK: Settling

    static func delete(_ sequence: Int64, from table: OutboxTable) -> PostgresStatement {
        PostgresStatement("DELETE FROM \(table.rawValue) WHERE sequence = ?::bigint", [.integer(sequence)])
    }

    /// Deletes events by their numbers and identities. A server that replaced one that crashed may give numbers again, and
    /// then an event with such a number is another one.
    static func delete(_ places: [EventPlace], from table: OutboxTable) -> PostgresStatement {
        let known = places.compactMap { place in place.eventID.map { (place.sequence, $0.rawValue) } }
        return PostgresStatement(
            """
            DELETE FROM \(table.rawValue) WHERE ctid = ANY (ARRAY(
                SELECT (
                    SELECT event.ctid FROM \(table.rawValue) AS event
                    WHERE event.sequence = settled.sequence AND event.event_id = settled.event_id
                )
                FROM unnest(?::bigint[], ?::text[]) AS settled (sequence, event_id)
            ))
            """,
            [.integers(known.map(\.0)), .texts(known.map(\.1))]
        )
    }

    /// Moves an event to another table, with values for the additional columns of that table. If an event there has its
    /// number, because the sequence was set back, the event gets a new one.
    static func move(
        _ place: EventPlace,
        from origin: OutboxTable,
        to table: OutboxTable,
        adding added: [(name: String, type: String, value: PostgresValue)] = []
    ) -> PostgresStatement {
        PostgresStatement(
            """
            WITH gone AS (
                DELETE FROM \(origin.rawValue) WHERE sequence = ?::bigint AND event_id = coalesce(?::text, event_id)
                RETURNING *
            )
            INSERT INTO \(table.rawValue) (sequence, \(columns)\(added.map { ", \($0.name)" }.joined()))
            SELECT \(free(in: table)), \(columns)\(added.map { ", ?::\($0.type)" }.joined()) FROM gone
            """,
            [.integer(place.sequence), identity(place)] + added.map(\.value)
        )
    }

    /// The number of a row of `gone` if no row of a table has it, and a new one otherwise.
    static func free(in table: OutboxTable) -> String {
        """
        CASE WHEN (SELECT other.sequence FROM \(table.rawValue) AS other WHERE other.sequence = gone.sequence) IS NULL
            THEN sequence ELSE nextval('eventbus_outbox_sequence') END
        """
    }

    static func park(_ parking: Settlement.ParkedRow, now: EventTime) -> PostgresStatement {
        let failure = parking.failure
        return move(
            parking.place,
            from: parking.table,
            to: .parked,
            adding: [
                ("attempts", "integer", .integer(Int64(failure.attempt))),
                ("parked_at", "bigint", .integer(now.milliseconds)),
                ("reason", "text", .text(failure.reason.rawValue)), ("error_type", "text", storable(failure.errorType)),
                ("message", "text", storable(failure.message)),
            ]
        )
    }

    static func delay(_ place: EventPlace, until readyAt: EventTime) -> PostgresStatement {
        move(
            place,
            from: .outbox,
            to: .delayed,
            adding: [("ready_at", "bigint", .integer(readyAt.milliseconds))]
        )
    }

    static func postpone(_ delay: Settlement.Delay) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox SET attempts = ?::integer, holds = ?::integer, last_error = ?::text,
                due_at = ?::bigint
            WHERE sequence = ?::bigint AND event_id = coalesce(?::text, event_id)
            """,
            [
                .integer(Int64(delay.attempts)), .integer(Int64(delay.holds)), storable(delay.error),
                .integer(max(1, delay.dueAt.milliseconds)), .integer(delay.place.sequence), identity(delay.place),
            ]
        )
    }

    /// Makes the first event of each key due, if it was seen behind another one.
    static func advance(_ keys: [String], now: EventTime) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox SET due_at = ?::bigint WHERE ctid = ANY (ARRAY(
                SELECT head.ctid FROM unnest(?::text[]) AS key
                CROSS JOIN LATERAL (\(first("first.ctid, first.due_at", ofKey: "key"))) AS head
                WHERE head.due_at IS NULL
            ))
            """,
            [.integer(now.milliseconds), .texts(keys)]
        )
    }

    /// Makes held events due, because the broker accepts events again: at most ``returning``, so that a large backlog does
    /// not exceed the time limit of a statement. The others are tried when their time comes.
    static func releaseHeld(now: EventTime) -> PostgresStatement {
        release(where: "holds > 0 AND attempts = 0 LIMIT \(returning)", [], now: now)
    }

    /// Makes at most `limit` held events of one topic due, because the broker has confirmed one of them. It looks only at
    /// those that are tried next.
    static func release(_ limit: Int, of topic: String, now: EventTime) -> PostgresStatement {
        release(
            where: "topic = ?::text AND holds > 0 AND attempts = 0 LIMIT ?::bigint",
            [.text(topic), .integer(Int64(limit))],
            now: now
        )
    }

    private static func release(
        where condition: String,
        _ values: [PostgresValue],
        now: EventTime
    ) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox SET due_at = ?::bigint WHERE ctid = ANY (ARRAY(
                SELECT held.ctid FROM (
                    SELECT ctid, topic, holds, attempts FROM eventbus_outbox WHERE due_at > ?::bigint
                    ORDER BY due_at LIMIT \(10 * returning)
                ) AS held
                WHERE \(condition)
            ))
            """,
            [.integer(now.milliseconds), .integer(now.milliseconds)] + values
        )
    }

    // MARK: Topics without a subscription

    static func tries(of topics: [String]) -> PostgresStatement {
        PostgresStatement(
            "SELECT topic, tries FROM eventbus_outbox_topic WHERE topic = ANY(?::text[])",
            [.texts(topics)]
        )
    }

    static func note(_ topic: String, tries: Int, nextAt: EventTime) -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO eventbus_outbox_topic (topic, tries, next_at) VALUES (?::text, ?::bigint, ?::bigint)
            ON CONFLICT (topic) DO UPDATE SET tries = EXCLUDED.tries, next_at = EXCLUDED.next_at
            """,
            [.text(topic), .integer(Int64(tries)), .integer(nextAt.milliseconds)]
        )
    }

    static func setAttempts(_ attempts: Int, of probe: EventPlace) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox_unrouted SET attempts = ?::integer
            WHERE sequence = ?::bigint AND event_id = coalesce(?::text, event_id)
            """,
            [.integer(Int64(attempts)), .integer(probe.sequence), identity(probe)]
        )
    }

    static func dueTopics(now: EventTime) -> PostgresStatement {
        PostgresStatement(
            "SELECT topic, tries FROM eventbus_outbox_topic WHERE next_at <= ?::bigint ORDER BY next_at LIMIT 100",
            [.integer(now.milliseconds)]
        )
    }

    /// Returns all topics with events that were set aside, with the first such event.
    static let topics = PostgresStatement(
        """
        SELECT topic, tries, next_at, (
            SELECT sequence FROM eventbus_outbox_unrouted
            WHERE \(isTopic("known.topic")) ORDER BY topic, sequence LIMIT 1
        )
        FROM eventbus_outbox_topic AS known ORDER BY next_at
        """
    )

    static func probe(of topic: String) -> PostgresStatement {
        PostgresStatement(
            """
            SELECT \(EventColumns.others) FROM eventbus_outbox_unrouted
            WHERE \(isTopic("?::text")) ORDER BY topic, sequence LIMIT 1
            """,
            [.text(topic), .text(topic)]
        )
    }

    /// Removes a topic without events that were set aside.
    static func forget(_ topic: String) -> PostgresStatement {
        PostgresStatement(
            """
            DELETE FROM eventbus_outbox_topic WHERE topic = ?::text AND (
                SELECT sequence FROM eventbus_outbox_unrouted
                WHERE \(isTopic("?::text")) ORDER BY topic, sequence LIMIT 1
            ) IS NULL
            """,
            [.text(topic), .text(topic), .text(topic)]
        )
    }

    // MARK: Values

    private static func identity(_ place: EventPlace) -> PostgresValue { PostgresValue(place.eventID?.rawValue) }

    /// Returns a text without U+0000, which PostgreSQL does not store.
    private static func storable(_ text: String) -> PostgresValue {
        .text(text.utf8.contains(0) ? text.replacing("\u{0}", with: "\u{FFFD}") : text)
    }
}
