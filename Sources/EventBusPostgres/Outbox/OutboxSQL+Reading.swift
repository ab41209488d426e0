internal import EventBus
internal import EventBusOutbox

extension OutboxSQL {
    /// The rows among which the first events of keys are looked for.
    struct Window: Sendable {
        /// A kind of waiting event.
        enum Kind: Sendable {
            /// Events that wait as they were stored, from a number on.
            case stored(from: Int64)
            /// Events whose time has come, from a time on.
            case due(from: Int64, to: EventTime)
        }

        var kind: Kind
        /// The maximum number of rows that are looked at.
        var size: Int

        /// The condition of the rows.
        fileprivate var condition: String {
            switch kind {
            case .stored: isStored
            case .due: "due_at >= ?::bigint AND due_at <= ?::bigint"
            }
        }

        /// The clauses that end the window.
        fileprivate var end: String { "ORDER BY due_at, sequence LIMIT ?::bigint" }

        fileprivate var values: [PostgresValue] {
            switch kind {
            case .stored(let number): [.integer(number)]
            case .due(let from, let end): [.integer(max(1, from)), .integer(end.milliseconds)]
            }
        }

        /// The order of the events, which begin with `prefix` if it names their table.
        fileprivate func order(_ prefix: String = "") -> String {
            switch kind {
            case .stored: "\(prefix)sequence"
            case .due: "\(prefix)due_at, \(prefix)sequence"
            }
        }
    }

    /// Reads the first events of keys that are not busy.
    ///
    /// Only the first event of a key in the whole outbox counts, which may be one that another transaction has committed
    /// later. Busy events without a key are not in the window. The last two columns are the number of rows in the window
    /// and of first events that were found. There is a row with these even if no event was found.
    static func heads(_ window: Window, excluding busy: Set<Lane>, limit: Int, bytes: Int) -> PostgresStatement {
        var (keys, singles): ([String], [Int64]) = ([], [])
        for lane in busy {
            switch lane {
            case .key(let key): keys.append(key.text)
            case .single(let sequence): singles.append(sequence)
            }
        }
        return PostgresStatement(
            """
            WITH seen AS MATERIALIZED (
                SELECT sequence, partition_key, due_at FROM eventbus_outbox
                WHERE \(window.condition) AND sequence NOT IN (SELECT unnest(?::bigint[])) \(window.end)
            ), heads AS MATERIALIZED (
                SELECT sequence, due_at FROM (
                    SELECT *, \(placeInKey) AS place FROM seen
                ) AS event
                WHERE place = 1
                    AND (partition_key IS NULL OR NOT partition_key = ANY(?::text[]))
                    AND (partition_key IS NULL OR NOT \(hasEarlier))
                ORDER BY \(window.order()) LIMIT ?::bigint
            )
            SELECT \(EventColumns.outbox), counts.seen, counts.heads
            FROM (SELECT (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM heads) AS heads) AS counts
            LEFT JOIN (
                SELECT event.*, sum(octet_length(event.payload)) OVER (
                    ORDER BY \(window.order("event."))
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS bytes_before
                FROM heads CROSS JOIN LATERAL (
                    SELECT * FROM eventbus_outbox AS stored WHERE stored.sequence = heads.sequence OFFSET 0
                ) AS event
            ) AS event ON coalesce(bytes_before, 0) < ?::bigint
            ORDER BY \(window.order())
            """,
            window.values + [
                .integers(singles), .integer(Int64(window.size)), .texts(keys), .integer(Int64(limit)),
                .integer(Int64(bytes)),
            ]
        )
    }

    /// Reads the events that follow the first ones of some keys, key by key.
    static func followers(
        of heads: [(key: String, sequence: Int64)],
        depth: Int,
        bytes: Int
    ) -> PostgresStatement {
        PostgresStatement(
            """
            SELECT \(EventColumns.outbox) FROM (
                SELECT event.*, place, sum(octet_length(event.payload)) OVER (ORDER BY place, event.sequence) AS bytes
                FROM unnest(?::text[], ?::bigint[]) WITH ORDINALITY AS head (key, number, place)
                CROSS JOIN LATERAL (
                    SELECT * FROM eventbus_outbox AS event
                    WHERE event.partition_key >= head.key AND event.partition_key <= head.key
                        AND event.sequence > head.number
                    ORDER BY event.partition_key, event.sequence LIMIT ?::bigint
                ) AS event
            ) AS event
            WHERE bytes <= ?::bigint ORDER BY place, sequence
            """,
            [
                .texts(heads.map(\.key)), .integers(heads.map(\.sequence)), .integer(Int64(depth)),
                .integer(Int64(bytes)),
            ]
        )
    }

    /// Takes the events of a window that are not the first of their key out of it. They are made due when they are.
    static func demote(_ window: Window) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_outbox SET due_at = NULL WHERE ctid = ANY (ARRAY(
                SELECT event.ctid FROM (
                    SELECT ctid, sequence, partition_key FROM eventbus_outbox WHERE \(window.condition) \(window.end)
                ) AS event
                WHERE partition_key IS NOT NULL AND \(hasEarlier)
            ))
            """,
            window.values + [.integer(Int64(window.size))]
        )
    }

    /// Reads the state that a ``SequenceFloor`` is derived from, in this order.
    static func floorState(above floor: Int64) -> [PostgresStatement] {
        [
            PostgresStatement("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM eventbus_outbox_sequence"),
            PostgresStatement("SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_xact_id()::text"),
            PostgresStatement(
                "SELECT sequence FROM eventbus_outbox WHERE \(isStored) ORDER BY due_at, sequence LIMIT 1",
                [.integer(floor)]
            ),
        ]
    }

    /// Returns the first time of an event that is tried later, from a time on.
    static func firstDue(from time: Int64) -> PostgresStatement {
        PostgresStatement(
            "SELECT due_at FROM eventbus_outbox WHERE due_at >= ?::bigint ORDER BY due_at LIMIT 1",
            [.integer(max(1, time))]
        )
    }

    /// Returns the earliest times after `now` at which an event is tried again and at which one returns.
    static func nextTimes(now: EventTime) -> PostgresStatement {
        PostgresStatement(
            """
            SELECT
                (SELECT due_at FROM eventbus_outbox WHERE due_at > ?::bigint ORDER BY due_at LIMIT 1),
                (SELECT ready_at FROM eventbus_outbox_delayed WHERE ready_at > ?::bigint ORDER BY ready_at LIMIT 1)
            """,
            [.integer(now.milliseconds), .integer(now.milliseconds)]
        )
    }

    /// Returns the mark of the last replay, and the time at which the server was started, by which a server is recognized.
    static let replayMark = PostgresStatement(
        "SELECT replays, pg_postmaster_start_time()::text FROM eventbus_outbox_state WHERE id = 1"
    )

    /// The number of rows of each table above which the backlog does not count them.
    static let countLimit = 100_000

    /// Counts the rows of each table, up to one more than ``countLimit``. To count millions takes seconds, for which
    /// everything else on the connection would wait.
    static let backlog = PostgresStatement(
        """
        SELECT \(count(.outbox)), \(count(.unrouted)), \(count(.delayed)), \(count(.parked)),
            (SELECT stored_at FROM eventbus_outbox ORDER BY sequence LIMIT 1),
            (SELECT stored_at FROM eventbus_outbox_unrouted ORDER BY sequence LIMIT 1)
        """
    )

    private static func count(_ table: OutboxTable) -> String {
        "(SELECT count(*) FROM (SELECT FROM \(table.rawValue) ORDER BY sequence LIMIT \(countLimit + 1)) AS event)"
    }

    static func parked(limit: Int) -> PostgresStatement {
        PostgresStatement(
            """
            SELECT \(EventColumns.others), parked_at, reason, error_type, message
            FROM eventbus_outbox_parked ORDER BY sequence LIMIT ?::bigint
            """,
            [.integer(Int64(max(0, limit)))]
        )
    }

    static func parkedSequences(after sequence: Int64, limit: Int) -> PostgresStatement {
        PostgresStatement(
            """
            SELECT sequence FROM eventbus_outbox_parked WHERE sequence > ?::bigint ORDER BY sequence LIMIT ?::bigint
            """,
            [.integer(sequence), .integer(Int64(limit))]
        )
    }
}
