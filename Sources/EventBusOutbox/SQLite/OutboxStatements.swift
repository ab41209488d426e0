#if SQLite
internal import EventBus
internal import GRDB

/// The statements of the outbox, one function for each. Each runs in the caller's transaction.
///
/// Every statement finds its rows through an index. A number in a row may have any value, so reading it never traps.
enum OutboxStatements {
    /// Stores an event. It is due immediately, unless another event of its key waits.
    ///
    /// - Parameter readyAt: The earliest time at which the broker can take the event, or `nil` for now.
    static func insert(
        _ envelope: Envelope,
        storedAt: EventTime,
        deliverAt: EventTime?,
        readyAt: EventTime? = nil,
        requiresSubscriber: Bool,
        in db: Database
    ) throws {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_outbox (\(OutboxSchema.carriedColumns), due_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                    CASE WHEN EXISTS (SELECT 1 FROM eventbus_outbox WHERE partition_key = ?) THEN NULL ELSE 0 END)
                """
        )
        var arguments = try envelope.columnValues()
        arguments += [storedAt.milliseconds, deliverAt?.milliseconds, requiresSubscriber]
        arguments += [envelope.partitionKey.map(StoredText.init)]
        try statement.execute(arguments: arguments)
        // The event had to be in the outbox to get its number. Nothing waits behind it yet.
        if let readyAt { try delay(db.lastInsertedRowID, until: readyAt, in: db) }
    }

    // MARK: Settling

    /// Writes the outcomes of events.
    ///
    /// - Returns: The topics that have just turned out to have no subscription.
    @discardableResult
    static func settle(
        _ settlement: Settlement,
        retry: RetryPolicy = .subscriberWait(maximum: .seconds(120)),
        now: EventTime,
        in db: Database
    ) throws -> [String] {
        if settlement.isEmpty { return [] }
        for place in settlement.published { try delete(place.sequence, from: .outbox, in: db) }
        for parking in settlement.parked {
            try park(parking.place.sequence, parking.failure, from: parking.table, now: now, in: db)
        }
        for early in settlement.early { try delay(early.place.sequence, until: early.readyAt, in: db) }
        var unrouted: [String] = []
        for probe in settlement.probes {
            let isNew = try settle(probe, retry: retry, now: now, in: db)
            if isNew { unrouted.append(probe.topic) }
        }
        for key in settlement.advancedKeys { try advance(StoredText(key.text).databaseValue, in: db) }
        // Last, because an event that is tried later may just have become the first of its key.
        for delay in settlement.delayed { try postpone(delay, in: db) }
        for (topic, count) in settlement.recovered { try release(count * 2, of: topic.rawValue, in: db) }
        if settlement.releasesHeld { try releaseHeld(in: db) }
        return unrouted
    }

    /// Schedules a later attempt for an event. It may no longer be the first of its key, because an earlier one may
    /// have been replayed.
    private static func postpone(_ delay: Settlement.Delay, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET attempts = ?, unrouted = ?, last_error = ?,
                    due_at = CASE WHEN EXISTS (
                        SELECT 1 FROM eventbus_outbox AS other
                        WHERE other.partition_key = eventbus_outbox.partition_key
                            AND other.sequence < eventbus_outbox.sequence
                    ) THEN NULL ELSE ? END
                WHERE sequence = ?
                """
        ).execute(
            arguments: [delay.attempts, delay.holds, delay.error, delay.dueAt.milliseconds, delay.place.sequence]
        )
    }

    /// Makes held events due, because the broker accepts events again.
    static func releaseHeld(in db: Database) throws {
        try db.cachedStatement(
            sql: "UPDATE eventbus_outbox SET due_at = 1 WHERE due_at > 1 AND unrouted > 0 AND attempts = 0"
        ).execute()
    }

    /// Makes at most `limit` held events of one topic due, because the broker has confirmed one of them.
    private static func release(_ limit: Int, of topic: String, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = 1 WHERE sequence IN (
                    SELECT sequence FROM eventbus_outbox
                    WHERE due_at > 1 AND topic = ? AND unrouted > 0 AND attempts = 0 LIMIT ?
                )
                """
        ).execute(arguments: [topic, limit])
    }

    /// Makes the first event of a key due.
    static func advance(_ key: DatabaseValue, in db: Database) throws {
        if key.isNull { return }
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = 0
                WHERE due_at IS NULL
                    AND sequence = (SELECT min(sequence) FROM eventbus_outbox WHERE partition_key = ?)
                """
        ).execute(arguments: [key])
    }

    static func delete(_ sequence: Int64, from table: OutboxTable, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM \(table.rawValue) WHERE sequence = ?").execute(arguments: [sequence])
    }

    // MARK: Moving

    /// Moves an event from the outbox to another table, with values for the additional columns of that table.
    static func move(
        _ sequence: Int64,
        to table: OutboxTable,
        adding columns: KeyValuePairs<String, (any DatabaseValueConvertible)?> = [:],
        from origin: OutboxTable = .outbox,
        in db: Database
    ) throws {
        let names = columns.map { ", \($0.key)" }.joined()
        let marks = String(repeating: ", ?", count: columns.count)
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO \(table.rawValue) (sequence, \(OutboxSchema.carriedColumns)\(names))
                SELECT sequence, \(OutboxSchema.carriedColumns)\(marks) FROM \(origin.rawValue) WHERE sequence = ?
                """
        ).execute(arguments: StatementArguments(columns.map(\.value) + [sequence]))
        try delete(sequence, from: origin, in: db)
    }

    /// Returns an event from another table to its place in the outbox, before the later events of its key.
    ///
    /// - Returns: `true` if there was such an event.
    @discardableResult
    static func moveBack(_ sequence: Int64, from table: OutboxTable, in db: Database) throws -> Bool {
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = NULL
                WHERE sequence > ? AND due_at IS NOT NULL AND sequence = (
                    SELECT min(other.sequence) FROM eventbus_outbox AS other
                    WHERE other.partition_key = (SELECT partition_key FROM \(table.rawValue) WHERE sequence = ?)
                )
                """
        ).execute(arguments: [sequence, sequence])
        try db.cachedStatement(
            sql: """
                INSERT INTO eventbus_outbox (sequence, \(OutboxSchema.carriedColumns), due_at)
                SELECT sequence, \(OutboxSchema.carriedColumns),
                    CASE WHEN EXISTS (
                        SELECT 1 FROM eventbus_outbox AS other
                        WHERE other.partition_key = \(table.rawValue).partition_key
                            AND other.sequence < \(table.rawValue).sequence
                    ) THEN NULL ELSE 0 END
                FROM \(table.rawValue) WHERE sequence = ?
                """
        ).execute(arguments: [sequence])
        let isThere = db.changesCount > 0
        if isThere { try delete(sequence, from: table, in: db) }
        return isThere
    }

    // MARK: Reading

    static func backlog(now: EventTime, in db: Database) throws -> OutboxBacklog {
        func count(_ table: OutboxTable) throws -> Int {
            try Int.fetchOne(try db.cachedStatement(sql: "SELECT count(*) FROM \(table.rawValue)")) ?? 0
        }
        func oldest(_ table: OutboxTable) throws -> Int64? {
            let name = table.rawValue
            let stored = try DatabaseValue.fetchOne(
                try db.cachedStatement(
                    sql: "SELECT stored_at FROM \(name) WHERE sequence = (SELECT min(sequence) FROM \(name))"
                )
            )
            return stored.flatMap { Int64.fromDatabaseValue($0) }
        }
        return OutboxBacklog(
            waiting: try count(.outbox),
            unrouted: try count(.unrouted),
            delayed: try count(.delayed),
            parked: try count(.parked),
            oldest: [try oldest(.outbox), try oldest(.unrouted)].map { $0.map(EventTime.init(milliseconds:)) },
            now: now
        )
    }
}
#endif
