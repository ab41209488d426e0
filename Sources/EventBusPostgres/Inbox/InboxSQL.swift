internal import EventBus

/// The statements of the inbox.
///
/// Those of the bus do not wait for the lock of a record, which a handler's own transaction may hold for long: everything
/// that follows on their connection would wait with them.
enum InboxSQL {
    /// The server's time in milliseconds.
    private static let time = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    private static let isKey = "subscription = ?::text AND event_id = ?::bytea AND topic = ?::text"
    /// The record as `free`, locked, unless another transaction has locked it.
    private static let free = """
        free AS MATERIALIZED (SELECT 1 FROM eventbus_inbox WHERE \(isKey) FOR UPDATE SKIP LOCKED)
        """
    private static let isFree = "EXISTS (SELECT 1 FROM free)"
    private static let isFreeOrAbsent = "\(isFree) OR NOT EXISTS (SELECT 1 FROM eventbus_inbox WHERE \(isKey))"

    /// The number of tokens that tell the claims of an event apart.
    static let tokens: Int64 = 1 << 20
    private static let tokenBits = tokens.trailingZeroBitCount

    /// Limits the wait for the table, which somebody may have locked. Vacuuming gives it up within 20 ms.
    static let waitForTable = TransactionSettings.local([("lock_timeout", "100")])

    /// Limits the wait for a record that another transaction is adding, which is invisible and so cannot be skipped.
    static let waitForRecord = TransactionSettings.local([("lock_timeout", "20")])

    /// Locks the table as a write does, so that a failure tells whether the table or a record is locked. It deletes nothing:
    /// `LOCK TABLE` works only after `BEGIN`.
    static let lockTable = PostgresStatement("DELETE FROM eventbus_inbox WHERE false")

    /// Claims an event and returns the fence, or returns no row, also if another transaction has locked the record.
    ///
    /// A claim that ends later than its lease allows was made before the server's clock was set back, and counts as
    /// expired.
    ///
    /// - Parameters:
    ///   - token: A number of the caller, which the fence ends with.
    ///   - isRepeated: `true` if the caller has no answer to an earlier call, whose claim is then taken over.
    static func begin(_ key: InboxKey, lease: Int64, token: Int64, isRepeated: Bool) -> PostgresStatement {
        PostgresStatement(
            """
            WITH \(free)
            INSERT INTO eventbus_inbox AS record (
                subscription, event_id, topic, payload_digest, is_completed, ends_at, lease, fence
            )
            SELECT ?::text, ?::bytea, ?::text, ?::bigint, false, \(time) + ?::bigint, ?::bigint,
                nextval('eventbus_inbox_fence') << \(tokenBits) | ?::bigint
            WHERE \(isFreeOrAbsent)
            ON CONFLICT (subscription, event_id, topic) DO UPDATE
            SET fence = EXCLUDED.fence, is_completed = false, ends_at = EXCLUDED.ends_at, lease = EXCLUDED.lease,
                payload_digest = EXCLUDED.payload_digest
            WHERE record.ends_at <= \(time)
                OR (NOT record.is_completed AND record.ends_at > \(time) + record.lease + 1000)
                OR (?::boolean AND NOT record.is_completed AND record.fence % \(tokens) = EXCLUDED.fence % \(tokens))
            RETURNING fence
            """,
            values(key) + values(key) + [digest(key), .integer(lease), .integer(lease), .integer(token)] + values(key)
                + [.boolean(isRepeated)]
        )
    }

    /// Ends the claim that a call without an answer may have made.
    static func withdraw(_ key: InboxKey, token: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            WITH \(free)
            DELETE FROM eventbus_inbox
            WHERE \(isKey) AND fence % \(tokens) = ?::bigint AND NOT is_completed AND \(isFree)
            """,
            values(key) + values(key) + [.integer(token)]
        )
    }

    /// Returns whether the event is completed, the milliseconds that are left of the record, the payload's digest and the
    /// fence.
    static func state(_ key: InboxKey) -> PostgresStatement {
        PostgresStatement(
            "SELECT is_completed, ends_at - \(time), payload_digest, fence FROM eventbus_inbox WHERE \(isKey)",
            values(key)
        )
    }

    /// Extends a claim, and returns whether it did, whether another transaction has locked the record of the claim, and
    /// whether the claim has expired meanwhile.
    static func renew(_ claim: InboxClaim, lease: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            WITH \(free), renewed AS (
                UPDATE eventbus_inbox SET
                    ends_at = CASE WHEN is_completed THEN ends_at ELSE \(time) + ?::bigint END,
                    lease = ?::bigint
                WHERE \(isKey) AND fence = ?::bigint AND ends_at > \(time) AND \(isFree)
                RETURNING 1
            )
            SELECT EXISTS (SELECT 1 FROM renewed), count(*) > 0, coalesce(bool_or(ends_at <= \(time)), false)
            FROM eventbus_inbox WHERE \(isKey) AND fence = ?::bigint AND NOT \(isFree)
            """,
            values(claim.key) + [.integer(lease), .integer(lease)] + values(claim.key) + [fence(claim)]
                + values(claim.key) + [fence(claim)]
        )
    }

    static func complete(_ claim: InboxClaim, retention: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            WITH \(free)
            INSERT INTO eventbus_inbox AS record (
                subscription, event_id, topic, payload_digest, fence, is_completed, ends_at, lease
            )
            SELECT ?::text, ?::bytea, ?::text, ?::bigint, ?::bigint, true, \(time) + ?::bigint, 0
            WHERE \(isFreeOrAbsent)
            ON CONFLICT (subscription, event_id, topic) DO UPDATE
            SET fence = EXCLUDED.fence, is_completed = true, ends_at = EXCLUDED.ends_at,
                payload_digest = EXCLUDED.payload_digest
            WHERE record.fence = EXCLUDED.fence OR record.ends_at <= \(time)
            """,
            values(claim.key) + values(claim.key) + [digest(claim.key), fence(claim), .integer(retention)]
                + values(claim.key)
        )
    }

    static func abandon(_ claim: InboxClaim) -> PostgresStatement {
        PostgresStatement(
            """
            WITH \(free)
            DELETE FROM eventbus_inbox WHERE \(isKey) AND fence = ?::bigint AND NOT is_completed AND \(isFree)
            """,
            values(claim.key) + values(claim.key) + [fence(claim)]
        )
    }

    /// Records that the event is handled, unless it was handled before. A claim keeps its fence, so that the bus that
    /// holds it can complete it afterwards.
    static func record(_ key: InboxKey, retention: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO eventbus_inbox AS record (
                subscription, event_id, topic, payload_digest, is_completed, ends_at, lease
            ) VALUES (?::text, ?::bytea, ?::text, ?::bigint, true, \(time) + ?::bigint, 0)
            ON CONFLICT (subscription, event_id, topic) DO UPDATE
            SET is_completed = true, ends_at = EXCLUDED.ends_at, payload_digest = EXCLUDED.payload_digest
            WHERE NOT record.is_completed OR record.ends_at <= \(time)
            """,
            values(key) + [digest(key), .integer(retention)]
        )
    }

    /// Deletes some expired records, more than one call adds, so that they cannot accumulate. It waits for nobody.
    ///
    /// The time is the one at which the statement began. With one that changes while it runs, the server would compare it
    /// with every record instead of looking it up in the index.
    static let forget = PostgresStatement(
        """
        DELETE FROM eventbus_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM eventbus_inbox
            WHERE ends_at <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            ORDER BY ends_at LIMIT 20 FOR UPDATE SKIP LOCKED
        ))
        """
    )

    private static func values(_ key: InboxKey) -> [PostgresValue] {
        [.text(key.subscription), .bytes(Array(key.eventID.rawValue.utf8)), .text(key.topic.rawValue)]
    }

    private static func digest(_ key: InboxKey) -> PostgresValue {
        PostgresValue(key.payloadDigest.map { Int64(bitPattern: $0) })
    }

    private static func fence(_ claim: InboxClaim) -> PostgresValue { .integer(Int64(bitPattern: claim.fence)) }
}
