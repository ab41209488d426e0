#if SQLite
internal import EventBus
internal import GRDB

extension OutboxStatements {
    /// Reads events that are due, together with the following events of the same key.
    ///
    /// An entry at the head of a key that cannot be published is moved out of the way: a row without an event, an event
    /// of a topic without a subscription, or an event that is not due yet.
    ///
    /// - Parameters:
    ///   - limit: The maximum number of events.
    ///   - depth: The maximum number of events of one key.
    ///   - busy: The lanes with events in flight, which are skipped.
    static func take(
        limit: Int,
        depth: Int,
        excluding busy: Set<Lane>,
        terms: ReadingTerms,
        in db: Database
    ) throws -> FetchedEvents {
        let (probes, isCut) = try returnWaiting(busy: busy, now: terms.now, in: db)
        var reader = RunReader(terms: terms, depth: depth, busy: busy)
        reader.taking.isCut = isCut
        for row in probes { try reader.readProbe(row) }
        // Retries must neither starve new events nor be starved by them.
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

    /// Returns the earliest of the times after `now` that the queries find.
    private static func earliest(_ queries: [String], after now: EventTime, in db: Database) throws -> EventTime? {
        let times = try queries.compactMap { sql in
            try DatabaseValue.fetchOne(try db.cachedStatement(sql: sql), arguments: [now.milliseconds])
        }
        return times.compactMap { Double.fromDatabaseValue($0) }.min()
            .map { EventTime(milliseconds: Int64(min($0, 9e18))) }
    }
}

/// A reader that turns rows of the outbox into runs of events that may be published one after another.
private struct RunReader {
    let terms: ReadingTerms
    let depth: Int
    let busy: Set<Lane>
    var taking = FetchedEvents()

    private struct Entry {
        var sequence: Int64
        var key: DatabaseValue
        var cause: Removal
    }

    private enum Reading {
        case event(StoredEvent)
        case aside(Removal)
    }

    private var removals: [Entry] = []
    private var topics: [Topic: TopicState?] = [:]
    /// A cached answer to whether any topic is known to have no subscription, or `nil` if it is unknown.
    private var hasUnroutedTopics: Bool?

    init(terms: ReadingTerms, depth: Int, busy: Set<Lane>) {
        self.terms = terms
        self.depth = depth
        self.busy = busy
    }

    /// Reads an event that was set aside and serves to check whether its topic has a subscription now.
    mutating func readProbe(_ row: Row) throws {
        do {
            var event = try StoredEvent(row: row)
            event.isProbe = true
            taking.count += 1
            taking.runs.append([event])
        } catch {
            taking.unreadable.append(
                Settlement.ParkedRow(
                    place: EventPlace(sequence: try row.value(.sequence), eventID: nil),
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
            guard hasRoom(for: limit) else {
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
                while hasRoom(for: limit), let row = try followers.next(), try append(row, to: &run, in: db) {}
            }
            if !run.isEmpty { taking.runs.append(run) }
        }
    }

    private func hasRoom(for limit: Int) -> Bool { taking.count < limit && taking.bytes < terms.maximumBytes }

    /// Appends a row to a run, or records that it has to be moved out of the way.
    ///
    /// - Returns: `true` if the run may continue after the row.
    private mutating func append(_ row: Row, to run: inout [StoredEvent], in db: Database) throws -> Bool {
        switch try reading(row, in: db) {
        case .event(let event):
            taking.count += 1
            taking.bytes += event.size
            run.append(event)
            return true
        case .aside(let cause):
            // It may still wait behind an event that has yet to be published.
            guard run.isEmpty else { return false }
            taking.count += 1
            removals.append(
                Entry(
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
        // A copy, because the closure changes this value.
        let terms = terms
        let cause = try terms.removal(of: event) { topic in
            guard try hasUnroutedTopics(in: db) else { return nil }
            if let known = topics[topic] { return known }
            let state = try OutboxStatements.state(of: topic.rawValue, in: db)
            topics[topic] = .some(state)
            return state
        }
        return cause.map(Reading.aside) ?? .event(event)
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

    /// Moves the recorded rows out of the way.
    ///
    /// - Returns: `true` if there were any. More may follow them.
    mutating func moveAside(in db: Database) throws -> Bool {
        for removal in removals {
            switch removal.cause {
            case .unreadable(let error):
                taking.unreadable.append(
                    Settlement.ParkedRow(
                        place: EventPlace(sequence: removal.sequence, eventID: nil),
                        failure: Failure(reason: .undecodable, error: error),
                        table: .outbox
                    )
                )
            case .unrouted: try OutboxStatements.move(removal.sequence, to: .unrouted, in: db)
            case .early(let time): try OutboxStatements.delay(removal.sequence, until: time, in: db)
            }
        }
        for parking in taking.unreadable {
            try OutboxStatements.park(
                parking.place.sequence,
                parking.failure,
                from: parking.table,
                now: terms.now,
                in: db
            )
        }
        for removal in removals { try OutboxStatements.advance(removal.key, in: db) }
        return !removals.isEmpty || !taking.unreadable.isEmpty
    }
}
#endif
