internal import EventBus
internal import GRDB

extension OutboxStore {
    /// What decides whether an event may go out.
    struct Terms: Sendable {
        /// The time, read inside the transaction.
        var now: EventTime
        /// The longest delay that the broker can hold.
        var maximumDelay = Duration.seconds(Int64.max)
        /// Whether every event waits for a subscription, not only those that ask for it.
        var requiresSubscriber = true
    }

    /// Reads events that are due, with those behind them of the same key.
    ///
    /// What is found at the head of a key and cannot go out is moved out of its way: rows that hold no event, events of a
    /// topic without a subscription, events that are not due yet.
    ///
    /// - Parameters:
    ///   - limit: how many events at most.
    ///   - depth: how many of one key at most.
    ///   - busy: lanes that have events under way, and are left out.
    static func take(
        limit: Int,
        depth: Int,
        excluding busy: Set<Lane>,
        terms: Terms,
        in db: Database
    ) throws -> Taking {
        let (probes, isCut) = try returnWaiting(busy: busy, now: terms.now, in: db)
        var reader = RunReader(terms: terms, depth: depth, busy: busy)
        reader.taking.isCut = isCut
        for row in probes { try reader.readProbe(row) }
        // What failed before must neither starve nor be starved by what is new.
        let retries = try db.cachedStatement(
            sql: """
                SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox
                WHERE due_at > 0 AND due_at <= ? ORDER BY due_at, sequence
                """
        )
        try reader.read(retries, arguments: [terms.now.milliseconds], upTo: max(1, limit / 4), in: db)
        let new = try db.cachedStatement(
            sql: "SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox WHERE due_at = 0 ORDER BY sequence"
        )
        try reader.read(new, arguments: [], upTo: limit, in: db)
        if try reader.moveAside(in: db) { reader.taking.isCut = true }
        reader.taking.nextDue = try earliest(
            [
                "SELECT min(due_at) FROM eventbus_outbox WHERE due_at > ?",
                "SELECT min(ready_at) FROM eventbus_outbox_delayed WHERE ready_at > ?",
            ],
            after: terms.now,
            in: db
        )
        reader.taking.nextTopic = try earliest(
            ["SELECT min(next_at) FROM eventbus_outbox_topic WHERE next_at > ?"],
            after: terms.now,
            in: db
        )
        reader.taking.unrouted = try unroutedTopics(in: db)
        return reader.taking
    }

    /// The earliest of the times that some queries find behind `now`.
    private static func earliest(_ queries: [String], after now: EventTime, in db: Database) throws -> EventTime? {
        let times = try queries.compactMap { sql in
            try DatabaseValue.fetchOne(try db.cachedStatement(sql: sql), arguments: [now.milliseconds])
        }
        return times.compactMap { Double.fromDatabaseValue($0) }.min()
            .map { EventTime(milliseconds: Int64(min($0, 9e18))) }
    }
}

/// Reads rows of the outbox into runs of events that may go out one after another.
private struct RunReader {
    let terms: OutboxStore.Terms
    let depth: Int
    let busy: Set<Lane>
    var taking = Taking()

    private struct Removal {
        enum Cause {
            case unreadable(any Error)
            case unrouted
            case early(until: EventTime)
        }

        var sequence: Int64
        var key: DatabaseValue
        var cause: Cause
    }

    private enum Reading {
        case event(StoredEvent)
        case aside(Removal.Cause)
    }

    private var removals: [Removal] = []
    private var topics: [Topic: OutboxStore.TopicState?] = [:]
    /// Whether any topic is known to have no subscription; `nil` if not asked yet.
    private var hasUnroutedTopics: Bool?

    init(terms: OutboxStore.Terms, depth: Int, busy: Set<Lane>) {
        self.terms = terms
        self.depth = depth
        self.busy = busy
    }

    /// Reads an event that was set aside and is to find out whether its topic has a subscription by now.
    mutating func readProbe(_ row: Row) throws {
        do {
            var event = try StoredEvent(row: row)
            event.isProbe = true
            taking.count += 1
            taking.runs.append([event])
        } catch {
            taking.unreadable.append(
                Settlement.Parking(
                    sequence: try row.value(.sequence),
                    failure: Failure(reason: .undecodable, error: error),
                    table: .unrouted
                )
            )
        }
    }

    mutating func read(
        _ statement: Statement,
        arguments: StatementArguments,
        upTo limit: Int,
        in db: Database
    ) throws {
        let rows = try Row.fetchCursor(statement, arguments: arguments)
        while let row = try rows.next() {
            let sequence: Int64 = try row.value(.sequence)
            let key: String? = try? row.optional(.partitionKey)
            let lane = key.map { Lane.key(ExactText($0)) } ?? .single(sequence)
            if busy.contains(lane) { continue }
            guard taking.count < limit else {
                taking.isCut = true
                return
            }
            var run: [StoredEvent] = []
            guard try append(row, to: &run, in: db) else { continue }
            if key != nil, depth > 1 {
                let followers = try Row.fetchCursor(
                    try db.cachedStatement(
                        sql: """
                            SELECT \(OutboxSchema.eventColumns) FROM eventbus_outbox
                            WHERE partition_key = ? AND sequence > ? ORDER BY sequence LIMIT ?
                            """
                    ),
                    arguments: [row[EventColumn.partitionKey.rawValue] as DatabaseValue, sequence, depth - 1]
                )
                while taking.count < limit, let row = try followers.next(), try append(row, to: &run, in: db) {}
            }
            if !run.isEmpty { taking.runs.append(run) }
        }
    }

    /// Takes a row into a run, or notes that it has to get out of the way.
    ///
    /// - Returns: Whether the run may go on behind it.
    private mutating func append(_ row: Row, to run: inout [StoredEvent], in db: Database) throws -> Bool {
        switch try reading(row, in: db) {
        case .event(let event):
            taking.count += 1
            run.append(event)
            return true
        case .aside(let cause):
            // Behind an event that has yet to go out it may still wait.
            guard run.isEmpty else { return false }
            taking.count += 1
            removals.append(
                Removal(
                    sequence: try row.value(.sequence),
                    key: row[EventColumn.partitionKey.rawValue],
                    cause: cause
                )
            )
            return true
        }
    }

    private mutating func reading(_ row: Row, in db: Database) throws -> Reading {
        let event: StoredEvent
        do {
            event = try StoredEvent(row: row)
        } catch {
            return .aside(.unreadable(error))
        }
        if event.deliverAt != nil {
            let left = event.delay(at: terms.now)
            if left > terms.maximumDelay { return .aside(.early(until: terms.now + (left - terms.maximumDelay))) }
        }
        guard terms.requiresSubscriber || event.requiresSubscriber, try hasUnroutedTopics(in: db) else {
            return .event(event)
        }
        let topic = event.envelope.topic
        let state: OutboxStore.TopicState?
        if let known = topics[topic] {
            state = known
        } else {
            state = try OutboxStore.state(of: topic.rawValue, in: db)
            topics[topic] = .some(state)
        }
        return switch state {
        case .isUnrouted: .aside(.unrouted)
        case .isReturning(let first) where event.sequence > first: .aside(.unrouted)
        default: .event(event)
        }
    }

    private mutating func hasUnroutedTopics(in db: Database) throws -> Bool {
        if let hasUnroutedTopics { return hasUnroutedTopics }
        let exists =
            try Bool.fetchOne(
                try db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM eventbus_outbox_topic WHERE next_at >= 0)")
            ) ?? false
        hasUnroutedTopics = exists
        return exists
    }

    /// Moves what has to get out of the way.
    ///
    /// - Returns: Whether there was anything, behind which there may be more.
    mutating func moveAside(in db: Database) throws -> Bool {
        for removal in removals {
            switch removal.cause {
            case .unreadable(let error):
                taking.unreadable.append(
                    Settlement.Parking(
                        sequence: removal.sequence,
                        failure: Failure(reason: .undecodable, error: error),
                        table: .outbox
                    )
                )
            case .unrouted: try OutboxStore.move(removal.sequence, to: .unrouted, in: db)
            case .early(let time): try OutboxStore.delay(removal.sequence, until: time, in: db)
            }
        }
        for parking in taking.unreadable {
            try OutboxStore.park(parking.sequence, parking.failure, from: parking.table, now: terms.now, in: db)
        }
        for removal in removals { try OutboxStore.advance(removal.key, in: db) }
        return !removals.isEmpty || !taking.unreadable.isEmpty
    }
}

/// Events read from the outbox.
struct Taking: Sendable {
    /// For each lane the events at its beginning, in order.
    var runs: [[StoredEvent]] = []
    /// How many rows were read.
    var count = 0
    /// Rows that hold no envelope; they are parked by now.
    var unreadable: [Settlement.Parking] = []
    /// Whether there are more.
    var isCut = false
    /// When the next event is due that is not yet.
    var nextDue: EventTime?
    /// When the next topic without a subscription is tried again.
    var nextTopic: EventTime?
    /// The topics that have no subscription, if any.
    var unrouted: UnroutedTopics?
}
