#if SQLite
internal import EventBus
internal import GRDB

// Events without a subscriber, and events that are not due yet, wait outside the order of their key.
extension OutboxStatements {
    /// Moves an event out of the outbox until `readyAt`.
    static func delay(_ sequence: Int64, until readyAt: EventTime, in db: Database) throws {
        try move(sequence, to: .delayed, adding: ["ready_at": readyAt.milliseconds], in: db)
    }

    /// Sets an event aside, or writes the outcome of one that was set aside.
    ///
    /// - Returns: `true` if its topic has just turned out to have no subscription.
    static func settle(
        _ probe: Settlement.Probe,
        retry: RetryPolicy,
        now: EventTime,
        in db: Database
    ) throws -> Bool {
        let known = try tries(of: probe.topic, in: db)
        switch probe.outcome {
        case .published:
            try delete(probe.place.sequence, from: .unrouted, in: db)
            try note(probe.topic, tries: 0, nextAt: EventTime(milliseconds: 0), in: db)
            return false
        case .held(let attempts):
            try db.cachedStatement(sql: "UPDATE eventbus_outbox_unrouted SET attempts = ? WHERE sequence = ?")
                .execute(arguments: [attempts, probe.place.sequence])
        case .unrouted:
            if !probe.isProbe { try move(probe.place.sequence, to: .unrouted, in: db) }
            // Other events of its topic were in flight when the first one was returned.
            if !probe.isProbe, let known, known > 0 { return false }
        }
        let tries = min(max(0, known ?? 0), 10_000) + 1
        let pause = max(.milliseconds(1), retry.delay(afterAttempt: tries))
        try note(probe.topic, tries: tries, nextAt: now + pause, in: db)
        return known == nil
    }

    /// Returns the number of failed attempts for a topic. It is 0 once the topic has a subscription and its events
    /// return, and `nil` for a topic without events that were set aside.
    private static func tries(of topic: String, in db: Database) throws -> Int? {
        let row = try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT tries FROM eventbus_outbox_topic WHERE topic = ?"),
            arguments: [topic]
        )
        return row.map { (try? $0.value("tries")) ?? 1 }
    }

    private static func note(_ topic: String, tries: Int, nextAt: EventTime, in db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO eventbus_outbox_topic (topic, tries, next_at) VALUES (?, ?, ?)"
        ).execute(arguments: [topic, tries, nextAt.milliseconds])
    }

    /// The number of events that return to the outbox in one transaction.
    private static let returning = 1000

    /// Returns events to the outbox if their topic has a subscription now or their time has come.
    ///
    /// - Returns: The events that serve to check whether their topic has a subscription now, and whether more events
    ///   have to return.
    static func returnWaiting(
        busy: Set<Lane>,
        now: EventTime,
        in db: Database
    ) throws -> (probes: [Row], isCut: Bool) {
        let ready = try Int64.fetchAll(
            try db.cachedStatement(
                sql: "SELECT sequence FROM eventbus_outbox_delayed WHERE ready_at <= ? ORDER BY ready_at LIMIT ?"
            ),
            arguments: [now.milliseconds, returning]
        )
        for sequence in ready { try moveBack(sequence, from: .delayed, in: db) }
        var isCut = ready.count == returning
        var probes: [Row] = []
        let topics = try Row.fetchAll(
            try db.cachedStatement(
                sql: "SELECT topic, tries FROM eventbus_outbox_topic WHERE next_at <= ? ORDER BY next_at LIMIT 100"
            ),
            arguments: [now.milliseconds]
        )
        for row in topics {
            let topic: DatabaseValue = row["topic"]
            let isReleased = (try? row.value("tries") as Int) == 0
            if isReleased {
                let returned = try Int64.fetchAll(
                    try db.cachedStatement(
                        sql: "SELECT sequence FROM eventbus_outbox_unrouted WHERE topic = ? ORDER BY sequence LIMIT ?"
                    ),
                    arguments: [topic, returning]
                )
                for sequence in returned { try moveBack(sequence, from: .unrouted, in: db) }
                if returned.count == returning {
                    isCut = true
                    continue
                }
            } else if let first = try Row.fetchOne(
                try db.cachedStatement(
                    sql: """
                        SELECT \(OutboxSchema.otherEventColumns) FROM eventbus_outbox_unrouted
                        WHERE topic = ? ORDER BY sequence LIMIT 1
                        """
                ),
                arguments: [topic]
            ) {
                let sequence: Int64 = try first.value(.sequence)
                if !busy.contains(.single(sequence)) { probes.append(first) }
                continue
            }
            try db.cachedStatement(sql: "DELETE FROM eventbus_outbox_topic WHERE topic = ?").execute(arguments: [topic])
        }
        return (probes, isCut)
    }

    /// Returns the number of topics without a subscription and the names of the first few.
    static func unroutedTopics(in db: Database) throws -> UnroutedTopics? {
        let count =
            try Int.fetchOne(
                try db.cachedStatement(sql: "SELECT count(*) FROM eventbus_outbox_topic WHERE next_at > 0")
            ) ?? 0
        guard count > 0 else { return nil }
        let names = try String.fetchAll(
            try db.cachedStatement(
                sql: """
                    SELECT CAST(topic AS TEXT) FROM eventbus_outbox_topic
                    WHERE next_at > 0 ORDER BY next_at LIMIT \(UnroutedTopics.shown)
                    """
            )
        )
        return UnroutedTopics(names: names.sorted(), count: count)
    }

    /// Returns the state of a topic with events that were set aside, and `nil` for any other topic.
    static func state(of topic: String, in db: Database) throws -> TopicState? {
        guard let tries = try tries(of: topic, in: db) else { return nil }
        if tries > 0 { return .isUnrouted }
        let first = try DatabaseValue.fetchOne(
            try db.cachedStatement(sql: "SELECT min(sequence) FROM eventbus_outbox_unrouted WHERE topic = ?"),
            arguments: [topic]
        )
        return .isReturning(before: first.flatMap { Int64.fromDatabaseValue($0) } ?? .max)
    }
}
#endif
