internal import EventBus

/// The statements of the inbox.
enum InboxSQL {
    /// The server's time in milliseconds.
    private static let time = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    private static let isKey = "subscription = ?::text AND event_id = ?::bytea AND topic = ?::text"

    /// Claims an event and returns the fence, or returns no row.
    ///
    /// A claim that ends later than its lease allows was made before the server's clock was set back, and counts as
    /// expired.
    static func begin(_ key: InboxKey, lease: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO eventbus_inbox AS record (
                subscription, event_id, topic, payload_digest, is_completed, ends_at, lease
            ) VALUES (?::text, ?::bytea, ?::text, ?::bigint, false, \(time) + ?::bigint, ?::bigint)
            ON CONFLICT (subscription, event_id, topic) DO UPDATE
            SET fence = EXCLUDED.fence, is_completed = false, ends_at = EXCLUDED.ends_at, lease = EXCLUDED.lease,
                payload_digest = EXCLUDED.payload_digest
            WHERE record.ends_at <= \(time)
                OR (NOT record.is_completed AND record.ends_at > \(time) + record.lease + 1000)
            RETURNING fence
            """,
            values(key) + [digest(key), .integer(lease), .integer(lease)]
        )
    }

    /// Returns whether the event is completed, the milliseconds that are left of the record, and the payload's digest.
    static func state(_ key: InboxKey) -> PostgresStatement {
        PostgresStatement(
            "SELECT is_completed, ends_at - \(time), payload_digest FROM eventbus_inbox WHERE \(isKey)",
            values(key)
        )
    }

    static func renew(_ claim: InboxClaim, lease: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            UPDATE eventbus_inbox SET
                ends_at = CASE WHEN is_completed THEN ends_at ELSE \(time) + ?::bigint END,
                lease = ?::bigint
            WHERE \(isKey) AND fence = ?::bigint AND ends_at > \(time)
            """,
            [.integer(lease), .integer(lease)] + values(claim.key) + [fence(claim)]
        )
    }

    static func complete(_ claim: InboxClaim, retention: Int64) -> PostgresStatement {
        PostgresStatement(
            """
            INSERT INTO eventbus_inbox AS record (
                subscription, event_id, topic, payload_digest, fence, is_completed, ends_at, lease
            ) VALUES (?::text, ?::bytea, ?::text, ?::bigint, ?::bigint, true, \(time) + ?::bigint, 0)
            ON CONFLICT (subscription, event_id, topic) DO UPDATE
            SET fence = EXCLUDED.fence, is_completed = true, ends_at = EXCLUDED.ends_at,
                payload_digest = EXCLUDED.payload_digest
            WHERE record.fence = EXCLUDED.fence OR record.ends_at <= \(time)
            """,
            values(claim.key) + [digest(claim.key), fence(claim), .integer(retention)]
        )
    }

    static func abandon(_ claim: InboxClaim) -> PostgresStatement {
        PostgresStatement(
            "DELETE FROM eventbus_inbox WHERE \(isKey) AND fence = ?::bigint AND NOT is_completed",
            values(claim.key) + [fence(claim)]
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
    static let forget = PostgresStatement(
        """
        DELETE FROM eventbus_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM eventbus_inbox WHERE ends_at <= \(time) ORDER BY ends_at LIMIT 20 FOR UPDATE SKIP LOCKED
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
