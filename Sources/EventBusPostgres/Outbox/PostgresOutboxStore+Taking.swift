internal import EventBus
internal import EventBusOutbox

extension PostgresOutboxStore {
    /// Reads events, carries out `statements` before, and commits.
    ///
    /// - Returns: The events, and the end of the lease if it was renewed because reading took long.
    func take(
        _ request: ExchangeRequest,
        _ lock: Lock,
        after statements: [PostgresStatement],
        state: inout State,
        now: EventTime
    ) async throws -> (FetchedEvents, leaseEnd: EventTime?) {
        let limit = request.room.events
        let size = 2 * limit + request.busy.count(where: { if case .key = $0 { true } else { false } }) + 500
        let stored = OutboxSQL.Window(kind: .stored(from: state.floor.value), size: size)
        let due = OutboxSQL.Window(kind: .due(from: state.earliestDue, to: now), size: size)
        var batch = Batch(statements)
        let repaired = state.repairedUpTo.map { batch.add(OutboxSQL.repairStranded(after: $0, now: now)) }
        let delayed = batch.add(OutboxSQL.returnDelayed(now: now))
        let topics = lock.dueTopics.map { topic, tries in
            let position = batch.add(
                tries == 0 ? OutboxSQL.returnUnrouted(topic, now: now) : OutboxSQL.probe(of: topic)
            )
            batch.add(OutboxSQL.forget(topic))
            return (position: position, isReturning: tries == 0)
        }
        let demoted = state.isObstructed ? [batch.add(OutboxSQL.demote(stored)), batch.add(OutboxSQL.demote(due))] : []
        batch.add(reading)
        let states = batch.add(OutboxSQL.topics)
        let firstFloor = batch.add(contentsOf: OutboxSQL.floorState(above: state.floor.value))
        let firstDue = batch.add(OutboxSQL.firstDue(from: state.earliestDue))
        let times = batch.add(OutboxSQL.nextTimes(now: now))
        let terms = settings.terms(now: now, room: request.room)
        let bytes = min(terms.maximumBytes, readingSize.withLock { $0.bytes })
        // Each kind of event has its share, because both are read together.
        let retryBytes = bytes > 0 ? max(1, bytes / 4) : 0
        let retryLimit = limit == 0 ? 0 : max(1, limit / 4)
        let retries = batch.add(
            OutboxSQL.heads(due, excluding: request.busy, limit: retryLimit, bytes: retryBytes)
        )
        let heads = batch.add(
            OutboxSQL.heads(
                stored,
                excluding: request.busy,
                limit: limit,
                bytes: bytes > 0 ? max(1, bytes - retryBytes) : 0
            )
        )
        let start = ContinuousClock.now
        let results = try await connection.run(batch.statements, in: lock.session).results

        var reader = RowReader(terms: terms, topics: try TopicStates(results[states]))
        reader.taking.nextDue = try Self.earliest(results[times])
        reader.taking.nextTopic = reader.topics.next(after: now)
        reader.taking.unrouted = reader.topics.unrouted
        if let repaired {
            let isCut = try results[repaired].integer(0, 1) == OutboxSQL.repairing
            state.repairedUpTo = isCut ? try results[repaired].optionalInteger(0, 0) : nil
            if isCut { reader.taking.isCut = true }
        }
        if results[delayed].affectedCount == OutboxSQL.returning { reader.taking.isCut = true }
        for topic in topics {
            if !topic.isReturning {
                try reader.readProbe(results[topic.position], busy: request.busy)
            } else if results[topic.position].affectedCount == OutboxSQL.returning {
                reader.taking.isCut = true
            }
        }
        let hasDemoted = demoted.contains { results[$0].affectedCount > 0 }
        state.isObstructed = false
        for (position, limit) in [(retries, retryLimit), (heads, limit)] {
            let before = reader.taking.count
            let (seen, found) = try reader.readHeads(results[position])
            // More may have been found than the size allows to read.
            if limit > 0, found == limit || reader.taking.count - before < found { reader.taking.isCut = true }
            guard seen == size, found < limit else { continue }
            state.isObstructed = true
            if demoted.isEmpty || hasDemoted { reader.taking.isCut = true }
        }
        try Self.update(&state, floor: results[firstFloor...], firstDue: results[firstDue], now: now)

        batch = Batch(reader.removals(now: now))
        let followed = reader.followed
        let room = limit - reader.taking.count
        var followers: Int?
        if room > 0, reader.taking.bytes < bytes, !followed.isEmpty {
            let depth = min(StoreSettings.depthOfLane - 1, max(1, room / followed.count))
            followers = batch.add(
                OutboxSQL.followers(
                    of: Array(followed.prefix(room)),
                    depth: depth,
                    bytes: bytes - reader.taking.bytes
                )
            )
        }
        let leaseEnd = lateLeaseEnd(since: now)
        if leaseEnd != nil { batch.add(takeLease) }
        batch.add(PostgresStatement("COMMIT"))
        let rest = try await connection.run(batch.statements, in: lock.session).results
        if let followers { try reader.readFollowers(rest[followers]) }
        let (count, time) = (reader.taking.bytes, start.duration(to: .now))
        readingSize.withLock { $0.noteRead(count, within: time) }
        return (reader.taking, leaseEnd)
    }

    /// Returns the end of a lease that is renewed now if an exchange has taken long since `start`, and `nil` otherwise. If
    /// the lease ended with the exchange, relays would take it from each other after each read, and none would publish.
    private func lateLeaseEnd(since start: EventTime) -> EventTime? {
        let now = settings.wallClock.now
        return now.since(start) > settings.leaseDuration / 8 ? now + settings.leaseDuration : nil
    }

    /// The statement that takes or renews the lease.
    var takeLease: PostgresStatement {
        OutboxSQL.takeLease(settings.owner, milliseconds: settings.leaseDuration.inNanoseconds / 1_000_000)
    }

    private static func earliest(_ rows: PostgresResult) throws -> EventTime? {
        try [0, 1].compactMap { try rows.optionalInteger(0, $0) }.min().map(EventTime.init(milliseconds:))
    }

    private static func update(
        _ state: inout State,
        floor: ArraySlice<PostgresResult>,
        firstDue: PostgresResult,
        now: EventTime
    ) throws {
        let (number, snapshot, first) = (
            floor[floor.startIndex], floor[floor.startIndex + 1], floor[floor.startIndex + 2]
        )
        guard let oldest = UInt64(try snapshot.text(0, 0)), let own = UInt64(try snapshot.text(0, 1)) else {
            throw EventBusError(.decodingFailed, "PostgreSQL sent no transaction ids")
        }
        state.floor.note(
            firstStored: first.count > 0 ? try first.integer(0, 0) : nil,
            lastNumber: try number.integer(0, 0),
            oldestTransaction: oldest,
            transaction: own
        )
        state.earliestDue = firstDue.count > 0 ? try firstDue.integer(0, 0) : now.milliseconds
    }

    /// Statements with the positions of their results.
    private struct Batch {
        private(set) var statements: [PostgresStatement]

        init(_ statements: [PostgresStatement]) {
            self.statements = statements
        }

        /// Adds a statement, and returns the position of its result.
        @discardableResult
        mutating func add(_ statement: PostgresStatement) -> Int {
            statements.append(statement)
            return statements.count - 1
        }

        /// Adds statements, and returns the position of the first result.
        mutating func add(contentsOf others: [PostgresStatement]) -> Int {
            statements += others
            return statements.count - others.count
        }
    }
}
