internal import EventBus
internal import GRDB

extension OutboxStore {
    /// Makes `owner` the one relay that publishes, or lets it go on being so.
    ///
    /// - Parameters:
    ///   - duration: How long the lease is to last.
    ///   - now: The time, read inside the transaction.
    /// - Returns: Until when it is, and whether it was not before; `nil` where another relay is.
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
        // A row that holds no lease is replaced by one.
        if let row, let end: Int64 = try? row.value("expires_at") {
            let until = EventTime(milliseconds: end)
            let holder: String? = try? row.value("owner")
            let stored: Int64? = try? row.value("duration")
            // Its relay may have leases of another length than this one, but none of more than a day. Twice, since clocks
            // are also set by little.
            let longest = (stored.map { .milliseconds(min(max(0, $0), 86_400_000)) } ?? duration) * 2
            // One that ends later than it could was made before the clock was set back.
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

    /// Lets another relay take over at once.
    static func release(_ owner: String, in db: Database) throws {
        try db.execute(sql: "DELETE FROM eventbus_outbox_relay WHERE id = 1 AND owner = ?", arguments: [owner])
    }

    // MARK: Repairing

    /// How many keys are looked at in one transaction.
    static let repairedKeys = 1000

    /// Makes the first event of some keys due where it should be: rows that others have put in or deleted may have broken
    /// the chain of a key.
    ///
    /// - Parameter key: The key behind which to go on, as its bytes: text in a row need not be legal.
    /// - Returns: The last key that was looked at; `nil` behind the last one there is.
    static func repair(after key: DatabaseValue, limit: Int = repairedKeys, in db: Database) throws -> DatabaseValue? {
        var key = key
        let next = try db.cachedStatement(
            sql: """
                SELECT CAST(min(partition_key) AS BLOB) FROM eventbus_outbox WHERE partition_key > CAST(? AS TEXT)
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
        for _ in 0..<limit {
            // A key that is no text comes back again and again.
            guard let following = try DatabaseValue.fetchOne(next, arguments: [key]), !following.isNull,
                following != key
            else { return nil }
            key = following
            try advance.execute(arguments: [key])
        }
        return key
    }

    /// Puts right the times that are further ahead than they could be, since the clock was set back after they were
    /// stored, and those that are no times.
    static func repairTimes(now: EventTime, maximumInterval: Duration, in db: Database) throws {
        let latest = (now + maximumInterval).milliseconds
        // Text and blobs come behind every number.
        try db.cachedStatement(sql: "UPDATE eventbus_outbox SET due_at = 1 WHERE due_at > ?")
            .execute(arguments: [latest])
        try db.cachedStatement(sql: "UPDATE eventbus_outbox SET due_at = 0 WHERE due_at < 0").execute()
        try db.cachedStatement(sql: "UPDATE eventbus_outbox_topic SET next_at = 1 WHERE next_at > ?")
            .execute(arguments: [latest])
        // A delay goes on from now with what it had left when it was stored.
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox_delayed
                SET ready_at = ready_at - (stored_at - ?1), deliver_at = deliver_at - (stored_at - ?1), stored_at = ?1
                WHERE stored_at > ?1
                """
        ).execute(arguments: [now.milliseconds])
    }
}
