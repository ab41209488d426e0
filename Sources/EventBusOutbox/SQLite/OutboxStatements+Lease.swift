#if SQLite
internal import EventBus
internal import GRDB

extension OutboxStatements {
    /// Makes `owner` the publishing relay, or renews its lease.
    ///
    /// - Parameters:
    ///   - duration: The duration of the lease.
    ///   - now: The time, read inside the transaction.
    /// - Returns: The end of the lease and whether it is new, or `nil` if another relay publishes.
    static func acquire(
        _ owner: String,
        duration: Duration,
        now: EventTime,
        in db: Database
    ) throws -> (until: EventTime, isNew: Bool)? {
        let row = try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT owner, expires_at, duration FROM eventbus_outbox_relay WHERE id = 1")
        )
        var isOwner = false
        // A row without a valid lease is replaced.
        if let row, let end: Int64 = try? row.value("expires_at") {
            let until = EventTime(milliseconds: end)
            let holder: String? = try? row.value("owner")
            let stored: Int64? = try? row.value("duration")
            // Its relay may use leases of another length than this one, but none of more than a day. Doubled, because
            // clocks are also adjusted slightly.
            let longest = (stored.map { .milliseconds(min(max(0, $0), 86_400_000)) } ?? duration) * 2
            // A lease that ends later than it could was acquired before the clock was set back.
            let isInForce = now < until && until <= now + longest
            isOwner = holder == owner && isInForce
            if isOwner && until.since(now) > duration * 3 / 4 && until <= now + duration { return (until, false) }
            if !isOwner && isInForce { return nil }
        }
        let until = now + duration
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO eventbus_outbox_relay (id, owner, expires_at, duration) VALUES (1, ?, ?, ?)"
        ).execute(arguments: [owner, until.milliseconds, until.milliseconds - now.milliseconds])
        return (until, !isOwner)
    }

    /// Lets another relay take over immediately.
    static func release(_ owner: String, in db: Database) throws {
        try db.execute(sql: "DELETE FROM eventbus_outbox_relay WHERE id = 1 AND owner = ?", arguments: [owner])
    }

    // MARK: Repairing

    /// The number of keys that are checked in one transaction.
    static let repairedKeys = 1000

    /// Makes the first event of some keys due if it should be. Rows that others have inserted or deleted may have
    /// broken the chain of a key.
    ///
    /// - Parameter key: The key to continue after, as bytes, because text in a row need not be valid.
    /// - Returns: The last key that was checked, or `nil` after the last key in the table.
    static func repair(after key: DatabaseValue, limit: Int = repairedKeys, in db: Database) throws -> DatabaseValue? {
        var key = key
        // Blobs sort after every text. As a text, one would lead back to an earlier key.
        let next = try db.cachedStatement(
            sql: """
                SELECT CAST(min(partition_key) AS BLOB) FROM eventbus_outbox
                WHERE partition_key > CAST(? AS TEXT) AND partition_key < x''
                """
        )
        let advance = try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = 0
                WHERE due_at IS NULL AND sequence = (
                    SELECT min(sequence) FROM eventbus_outbox WHERE partition_key = CAST(? AS TEXT)
                )
                """
        )
        // The first key may be the empty one, which no comparison finds.
        try advance.execute(arguments: [key])
        for _ in 0..<limit {
            guard let following = try DatabaseValue.fetchOne(next, arguments: [key]), !following.isNull else {
                return nil
            }
            key = following
            try advance.execute(arguments: [key])
        }
        return key
    }

    /// Makes events due that nothing else makes due: those without a time that wait behind no other event, and those that
    /// were set aside although their topic has no row.
    ///
    /// Call it only for an outbox in which nothing is due, because it reads every event that waits behind another one.
    static func repairStranded(in db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = 0
                WHERE due_at IS NULL AND (partition_key IS NULL OR partition_key >= x'')
                """
        ).execute()
        try db.cachedStatement(
            sql: """
                INSERT OR IGNORE INTO eventbus_outbox_topic (topic, tries, next_at)
                SELECT topic, 1, 1 FROM eventbus_outbox_unrouted GROUP BY topic
                """
        ).execute()
    }

    /// Corrects times that are further ahead than possible, because the clock was set back after they were stored, and
    /// values that are not times.
    static func repairValues(now: EventTime, maximumInterval: Duration, in db: Database) throws {
        let latest = (now + maximumInterval).milliseconds
        // Text and blobs sort after every number.
        try db.cachedStatement(sql: "UPDATE eventbus_outbox SET due_at = 1 WHERE due_at > ?")
            .execute(arguments: [latest])
        try db.cachedStatement(sql: "UPDATE eventbus_outbox SET due_at = 0 WHERE due_at < 0").execute()
        try db.cachedStatement(sql: "UPDATE eventbus_outbox_topic SET next_at = 1 WHERE next_at > ?")
            .execute(arguments: [latest])
        try db.cachedStatement(sql: "UPDATE eventbus_outbox_delayed SET ready_at = 0 WHERE ready_at > ?")
            .execute(arguments: [Int64.max])
        // A delay continues from now with the time that was left when it was stored.
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox_delayed
                SET ready_at = ready_at - (stored_at - ?1), deliver_at = deliver_at - (stored_at - ?1), stored_at = ?1
                WHERE stored_at > ?1 AND typeof(stored_at) = 'integer'
                """
        ).execute(arguments: [now.milliseconds])
        // In arithmetic, a text or a blob counts as a number that has nothing to do with time. Such a row is read at once,
        // and parked as unreadable.
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox_delayed SET ready_at = 0
                WHERE stored_at > ?1 AND typeof(stored_at) <> 'integer' AND ready_at <> 0
                """
        ).execute(arguments: [now.milliseconds])
    }
}
#endif
