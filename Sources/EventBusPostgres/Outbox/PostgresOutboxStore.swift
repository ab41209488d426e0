internal import EventBus
internal import EventBusOutbox

/// The store of a relay in PostgreSQL, with a connection of its own.
///
/// An exchange takes three round trips: it locks the lease, then writes the outcomes and reads the first events of keys,
/// then moves events out of the way, reads the events that follow, and commits.
final class PostgresOutboxStore: OutboxStore {
    /// The state after the last exchange that was committed.
    struct State: Sendable {
        var hasLease = false
        /// The session of the exchange. Another one may be with a server that lacks the last numbers.
        var session: UInt64 = 0
        /// The server of the exchange, which a pooler may replace during a session.
        var server = ""
        var floor = SequenceFloor()
        /// The time before which no event is due.
        var earliestDue: Int64 = 0
        /// The mark of the last replay that was processed.
        var replayMark: Int64?
        /// A Boolean value indicating whether the events that wait as they were stored begin with many that wait behind
        /// others.
        var isObstructed = false
        /// The number after which the repair of stranded events goes on, or `nil` if none is in progress.
        var repairedUpTo: Int64?
    }

    let connection: PostgresConnection
    let settings: StoreSettings
    /// The statement that allows slow reads.
    let reading: PostgresStatement
    let readingSize: Locked<ReadingSize>
    private let state = Locked(State())
    private let notified: Notified

    init(_ client: PostgresClient, settings: StoreSettings) throws(EventBusError) {
        let notified = Notified()
        self.settings = settings
        self.reading = TransactionSettings.reading(client.configuration)
        self.readingSize = Locked(ReadingSize(target: client.configuration.commandTimeout / 4))
        self.notified = notified
        self.connection = try PostgresConnection(
            client.configuration,
            logger: client.logger,
            channel: "eventbus_outbox",
            onNotification: { notified.call() }
        )
    }

    /// The lowest number that the next exchange reads.
    var floor: Int64 { state.withLock { $0.floor.value } }

    func exchange(_ request: ExchangeRequest) async throws -> ExchangeAnswer? {
        try await transaction { [self] in try await exchangeInTransaction(request) }
    }

    func finish(_ settlement: Settlement) async throws {
        // Even if the task was cancelled, because confirmed events must not be published again.
        try await withoutCancellation { [self] in
            try await transaction { [self] in
                let now = settings.wallClock.now
                let lock = try await lock(settlement, now: now)
                let outcome = lock.isOwn ? settlement : settlement.publishedOnly
                let (statements, _) = settle(outcome, tries: lock.tries, now: now, publishes: lock.isOwn)
                _ = try await connection.run(
                    statements + [OutboxSQL.releaseLease(settings.owner), PostgresStatement("COMMIT")],
                    in: lock.session
                )
            }
        }
    }

    func close() async {
        await connection.close()
    }

    func backlog() async throws -> OutboxBacklog {
        let answer = try await connection.run([OutboxSQL.backlog])
        guard let rows = answer.results.first else { throw EventBusError(.indeterminate, "PostgreSQL did not answer") }
        return try OutboxBacklog(rows, now: settings.wallClock.now)
    }

    func observeCommits(_ onCommit: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        notified.set(onCommit)
        Task { [connection] in await connection.listen() }
        return { [notified] in notified.set(nil) }
    }

    /// Runs `body`, which begins and commits a transaction. If it throws, the session is ended, and with it the
    /// transaction.
    private func transaction<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch {
            await connection.reset()
            throw error
        }
    }

    // MARK: Lease

    /// The lease and what is read together with it.
    struct Lock {
        var isOwn: Bool
        var isFree: Bool
        /// The time that is left of the lease.
        var left: Duration
        /// The failed attempts for each topic of the outcomes that has events which were set aside.
        var tries: [String: Int]
        /// The topics whose time has come, with their failed attempts.
        var dueTopics: [(topic: String, tries: Int64)]
        var replayMark: Int64
        /// The session that holds the lock.
        var session: UInt64
        var server: String
    }

    /// Begins a transaction and locks the lease in it.
    private func lock(_ settlement: Settlement, now: EventTime) async throws -> Lock {
        let answer = try await connection.run(
            [OutboxSQL.mark] + OutboxSQL.lockLease(settings.owner) + [
                OutboxSQL.tries(of: Array(Set(settlement.probes.map(\.topic)))),
                OutboxSQL.dueTopics(now: now),
                OutboxSQL.replayMark,
            ],
            isFirst: true
        )
        let results = answer.results
        let (lease, tries, topics, mark) = (results[2], results[3], results[4], results[5])
        var triesByTopic: [String: Int] = [:]
        for row in 0..<tries.count { triesByTopic[try tries.text(row, 0)] = Int(clamping: try tries.integer(row, 1)) }
        let left = Duration.milliseconds(try lease.integer(0, 2))
        return Lock(
            isOwn: try lease.boolean(0, 0),
            isFree: try lease.boolean(0, 1),
            left: left,
            tries: triesByTopic,
            dueTopics: try (0..<topics.count).map { (try topics.text($0, 0), try topics.integer($0, 1)) },
            replayMark: mark.count > 0 ? try mark.integer(0, 0) : 0,
            session: answer.session,
            server: mark.count > 0 ? try mark.text(0, 1) : ""
        )
    }

    // MARK: Exchange

    private func exchangeInTransaction(_ request: ExchangeRequest) async throws -> ExchangeAnswer? {
        // Before the server's clock is read, so that the lease ends here no later than there.
        let now = settings.wallClock.now
        let lock = try await lock(request.settlement, now: now)
        guard lock.isOwn || lock.isFree else {
            state.withLock { $0 = State() }
            let (statements, _) = settle(
                request.settlement.publishedOnly,
                tries: lock.tries,
                now: now,
                publishes: false
            )
            _ = try await connection.run(statements + [PostgresStatement("COMMIT")], in: lock.session)
            return nil
        }
        var (statements, newlyUnrouted): ([PostgresStatement], [String]) = ([], [])
        var leaseEnd = now + lock.left
        // One that is left longer than it lasts was taken before the server's clock was set back.
        if !lock.isOwn || lock.left < settings.leaseDuration * 3 / 4 || lock.left > settings.leaseDuration {
            statements.append(takeLease)
            leaseEnd = now + settings.leaseDuration
        }
        var state = lock.isOwn ? self.state.withLock { $0 } : State()
        if state.session != lock.session || state.server != lock.server {
            (state.session, state.server) = (lock.session, lock.server)
            (state.floor, state.earliestDue) = (SequenceFloor(), 0)
        }
        let isNew = !state.hasLease
        let isStale = state.replayMark.map { $0 != lock.replayMark } ?? false
        if isNew || isStale { state.earliestDue = 0 }
        // The clock may have been set back.
        state.earliestDue = min(state.earliestDue, now.milliseconds)
        (state.hasLease, state.replayMark) = (true, lock.replayMark)

        let settled = settle(request.settlement, tries: lock.tries, now: now, publishes: true)
        statements += settled.statements
        newlyUnrouted = settled.newlyUnrouted
        // Another relay may have held events that this one could publish.
        if isNew { statements.append(OutboxSQL.releaseHeld(now: now)) }
        if request.isStranded {
            statements.append(OutboxSQL.repairTopics)
            (state.floor, state.earliestDue) = (SequenceFloor(), 0)
            if state.repairedUpTo == nil { state.repairedUpTo = .min }
        }
        if isNew || request.settlement.isEmpty {
            statements += OutboxSQL.repairValues(now: now, latest: now + settings.longestInterval)
        }
        let taking: FetchedEvents
        let renewed: EventTime?
        do {
            (taking, renewed) = try await take(request, lock, after: statements, state: &state, now: now)
        } catch {
            readingSize.withLock { $0.noteFailure() }
            throw error
        }
        let after = state
        self.state.withLock { $0 = after }
        return ExchangeAnswer(
            taking: taking,
            leaseEnd: renewed ?? leaseEnd,
            newlyUnrouted: newlyUnrouted,
            isStale: isStale
        )
    }
}

/// The receiver of a store's notifications, which is set while a relay runs.
private final class Notified: Sendable {
    private let receiver = Locked<(@Sendable () -> Void)?>(nil)

    func set(_ receiver: (@Sendable () -> Void)?) {
        self.receiver.withLock { $0 = receiver }
    }

    func call() {
        receiver.withLock { $0 }?()
    }
}
