internal import EventBus
internal import GRDB

/// What the outbox says to the database, one function for each thing said. Each runs in the caller's transaction.
enum OutboxStore {
    /// Stores an event. It is due at once, unless another of its key waits.
    static func insert(
        _ envelope: Envelope,
        storedAt: EventTime,
        deliverAt: EventTime?,
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
        arguments += [storedAt.milliseconds, deliverAt?.milliseconds, requiresSubscriber, envelope.partitionKey]
        try statement.execute(arguments: arguments)
    }

    /// Writes down what became of events.
    static func settle(_ settlement: Settlement, now: EventTime, in db: Database) throws {
        if settlement.isEmpty { return }
        for sequence in settlement.published { try delete(sequence, in: db) }
        for parking in settlement.parked { try park(parking.sequence, parking.failure, now: now, in: db) }
        for key in settlement.advancedKeys { try advance(key, in: db) }
        // Last: what is tried later may just have become the first of its key.
        for delay in settlement.delayed {
            try db.cachedStatement(
                sql: """
                    UPDATE eventbus_outbox SET attempts = ?, unrouted = ?, due_at = ?, last_error = ?
                    WHERE sequence = ?
                    """
            ).execute(
                arguments: [
                    delay.attempts, delay.unrouted, delay.dueAt.milliseconds, delay.error, delay.sequence,
                ]
            )
        }
    }

    /// Makes the first event of a key due.
    private static func advance(_ key: String, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE eventbus_outbox SET due_at = 0
                WHERE due_at IS NULL
                    AND sequence = (SELECT min(sequence) FROM eventbus_outbox WHERE partition_key = ?)
                """
        ).execute(arguments: [key])
    }

    /// Makes due whatever should be: rows that others have put in or deleted may have broken the chain of a key.
    static func repair(in db: Database) throws {
        try db.execute(
            sql: """
                UPDATE eventbus_outbox SET due_at = 0
                WHERE due_at IS NULL AND NOT EXISTS (
                    SELECT 1 FROM eventbus_outbox AS earlier
                    WHERE earlier.partition_key = eventbus_outbox.partition_key
                        AND earlier.sequence < eventbus_outbox.sequence
                )
                """
        )
    }

    private static func delete(_ sequence: Int64, in db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM eventbus_outbox WHERE sequence = ?").execute(arguments: [sequence])
    }

    // MARK: Taking

    /// Reads events that are due, with those behind them of the same key.
    ///
    /// - Parameters:
    ///   - limit: how many events at most.
    ///   - depth: how many of one key at most.
    ///   - busy: lanes that have events under way, and are left out.
    static func take(
        limit: Int,
        depth: Int,
        excluding busy: Set<Lane>,
        now: EventTime,
        in db: Database
    ) throws -> Taking {
        var taking = Taking()
        // What failed before must neither starve nor be starved by what is new.
        let retries = try db.cachedStatement(
            sql:
                "SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox WHERE due_at > 0 AND due_at <= ? ORDER BY due_at, sequence"
        )
        try take(
            retries,
            arguments: [now.milliseconds],
            upTo: max(1, limit / 4),
            depth: depth,
            busy: busy,
            into: &taking,
            in: db
        )
        let new = try db.cachedStatement(
            sql: "SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox WHERE due_at = 0 ORDER BY sequence"
        )
        try take(new, arguments: [], upTo: limit, depth: depth, busy: busy, into: &taking, in: db)
        taking.nextDue = try Int64.fetchOne(
            try db.cachedStatement(sql: "SELECT min(due_at) FROM eventbus_outbox WHERE due_at > ?"),
            arguments: [now.milliseconds]
        ).map(EventTime.init(milliseconds:))
        return taking
    }

    private static func take(
        _ statement: Statement,
        arguments: StatementArguments,
        upTo limit: Int,
        depth: Int,
        busy: Set<Lane>,
        into taking: inout Taking,
        in db: Database
    ) throws {
        let rows = try Row.fetchCursor(statement, arguments: arguments)
        while let row = try rows.next() {
            let key: String? = try? row.optional(.partitionKey)
            let sequence: Int64 = try row.value(.sequence)
            if busy.contains(key.map(Lane.key) ?? .single(sequence)) { continue }
            guard taking.count < limit else {
                taking.isCut = true
                return
            }
            guard let first = taking.read(row, sequence: sequence) else { continue }
            var run = [first]
            if let key, depth > 1 {
                let followers = try Row.fetchCursor(
                    try db.cachedStatement(
                        sql: """
                            SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox WHERE partition_key = ? AND sequence > ?
                            ORDER BY sequence LIMIT ?
                            """
                    ),
                    arguments: [key, sequence, min(depth - 1, limit - taking.count)]
                )
                while let row = try followers.next() {
                    guard let follower = try? StoredEvent(row: row) else { break }
                    run.append(follower)
                    taking.count += 1
                }
            }
            taking.runs.append(run)
        }
    }

    // MARK: The lease

    /// Makes `owner` the one relay that publishes, or lets it go on being so.
    ///
    /// - Returns: Until when it is, and whether it was not before; `nil` where another relay is.
    static func acquire(
        _ owner: String,
        duration: Duration,
        now: EventTime,
        in db: Database
    ) throws -> (until: EventTime, isNew: Bool)? {
        let row = try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT owner, expires_at FROM eventbus_outbox_relay WHERE id = 1")
        )
        let isOwner: Bool
        if let row {
            let until = EventTime(milliseconds: try row.value("expires_at"))
            isOwner = try row.value("owner") == owner && now < until
            if isOwner && until.since(now) > duration * 3 / 4 { return (until, false) }
            // One that ends later than any lease could was made before the clock was set back.
            if !isOwner && now < until && until <= now + duration * 2 { return nil }
        } else {
            isOwner = false
        }
        let until = now + duration
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO eventbus_outbox_relay (id, owner, expires_at) VALUES (1, ?, ?)"
        ).execute(arguments: [owner, until.milliseconds])
        return (until, !isOwner)
    }

    /// Lets another relay take over at once.
    static func release(_ owner: String, in db: Database) throws {
        try db.execute(sql: "DELETE FROM eventbus_outbox_relay WHERE owner = ?", arguments: [owner])
    }

    // MARK: Looking

    static func backlog(now: EventTime, in db: Database) throws -> OutboxBacklog {
        let oldest = try Int64.fetchOne(
            try db.cachedStatement(sql: "SELECT stored_at FROM eventbus_outbox ORDER BY sequence LIMIT 1")
        )
        return OutboxBacklog(
            count: try Int.fetchOne(try db.cachedStatement(sql: "SELECT count(*) FROM eventbus_outbox")) ?? 0,
            oldestAge: oldest.map { max(.zero, now.since(EventTime(milliseconds: $0))) },
            parked: try Int.fetchOne(try db.cachedStatement(sql: "SELECT count(*) FROM eventbus_outbox_parked")) ?? 0
        )
    }
}

/// Events read from the outbox.
struct Taking: Sendable {
    /// For each lane the events at its beginning, in order.
    var runs: [[StoredEvent]] = []
    /// How many events that are.
    var count = 0
    /// Rows that hold no envelope.
    var unreadable: [Settlement.Parking] = []
    /// Whether there are more.
    var isCut = false
    /// When the next event is due that is not yet.
    var nextDue: EventTime?

    /// The event in a row; `nil`, having noted the row, where it holds none.
    fileprivate mutating func read(_ row: Row, sequence: Int64) -> StoredEvent? {
        count += 1
        do {
            return try StoredEvent(row: row)
        } catch {
            let key: String? = try? row.optional(.partitionKey)
            let failure = Failure(reason: .undecodable, error: error)
            unreadable.append(Settlement.Parking(sequence: sequence, key: key, failure: failure))
            return nil
        }
    }
}
