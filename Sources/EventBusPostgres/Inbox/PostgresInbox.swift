internal import ConnectionThread
public import EventBus

/// An inbox that records in PostgreSQL which events were handled. It is the consuming counterpart of a
/// ``PostgresOutbox``.
///
/// If a handler writes to the same database, one statement makes its effect happen exactly once for each event and
/// subscription. Any PostgreSQL driver carries it out first in the transaction of the effect:
///
/// ```swift
/// let inbox = PostgresInbox(postgres)
///
/// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
///     try await database.withTransaction { transaction in
///         let record = try inbox.row(for: context.inboxKey)
///         guard try await transaction.execute(record.sql, record.values).rowCount == 1 else { return }
///         try await reserve(order, in: transaction)
///     }
/// }
/// ```
///
/// As the `Inbox` of a subscription it works for handlers with any effect, but then the record and the effect are two
/// steps: if a process is killed between them, the effect has no record and the event is handled again.
///
/// ``PostgresClient/migrate()`` creates the tables. Claims and retention are measured by the clock of the server.
/// Expired records are deleted while others are written.
public final class PostgresInbox: Inbox {
    /// The default retention of a record: 7 days.
    public static let defaultRetention = Duration.seconds(7 * 24 * 60 * 60)

    private let client: PostgresClient
    let renewals: ClaimRenewals

    /// Creates an inbox in the database of `client`.
    public init(_ client: PostgresClient) {
        self.client = client
        self.renewals = ClaimRenewals(on: client.thread) { claim, lease, done in
            Self.renew(claim, lease: lease, over: client, completion: done)
        }
    }

    /// Returns the statement that records in the transaction of an effect that an event is handled.
    ///
    /// It affects one row if the event was not handled before, and none if it was. Then the transaction must not have
    /// the effect. While another transaction handles the same event, the statement waits for its end.
    ///
    /// - Parameters:
    ///   - key: The event and the subscription, such as ``/EventBus/EventContext/inboxKey``.
    ///   - retention: The time for which the record is kept. It has to exceed the time within which the broker may
    ///     deliver a duplicate.
    /// - Throws: `EventBusError` with code `.invalidEnvelope` for a text with U+0000, which PostgreSQL does not store.
    public func row(for key: InboxKey, retention: Duration = defaultRetention) throws -> PostgresStatement {
        try InboxSQL.record(key, retention: Self.milliseconds(retention)).checked()
    }

    // MARK: Inbox

    /// Claims an event for a subscription, unless it is completed, another claim on it is active, or a transaction holds
    /// its record.
    ///
    /// A claim without an answer is taken over by a second call if the connection was replaced in time. Otherwise, it is
    /// ended in the background, so that the event does not wait for the end of the lease.
    ///
    /// - Throws: `EventBusError`, with code `.unavailable` also while somebody has locked the table.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        try await begin(key, lease: lease, onClaim: nil)
    }

    /// Claims an event.
    ///
    /// - Parameter onClaim: A brief closure that is called on the connection's thread when a claim was made, before the
    ///   caller is resumed.
    func begin(
        _ key: InboxKey,
        lease: Duration,
        onClaim: (@Sendable (InboxClaim) -> Void)?
    ) async throws -> InboxDecision {
        let deadline = ContinuousClock.now + client.configuration.boundedTimeout
        let token = Int64.random(in: 0..<InboxSQL.tokens)
        do {
            return try await claim(key, lease: lease, token: token, isRepeated: false, onClaim)
        } catch let error as EventBusError where error.code == .indeterminate {
            guard ContinuousClock.now < deadline,
                let decision = try? await claim(key, lease: lease, token: token, isRepeated: true, onClaim)
            else {
                withdraw(key, lease: lease, token: token)
                throw error
            }
            if case .inProgress = decision { withdraw(key, lease: lease, token: token) }
            return decision
        }
    }

    private func claim(
        _ key: InboxKey,
        lease: Duration,
        token: Int64,
        isRepeated: Bool,
        _ onClaim: (@Sendable (InboxClaim) -> Void)?
    ) async throws -> InboxDecision {
        var observer: (@Sendable ([PostgresResult]) -> Void)?
        if let onClaim {
            observer = { results in
                if let claim = (try? Self.newClaim(results, key)) ?? nil { onClaim(claim) }
            }
        }
        let statements = [
            InboxSQL.waitForTable, InboxSQL.lockTable, InboxSQL.waitForRecord,
            try InboxSQL.begin(key, lease: Self.milliseconds(lease), token: token, isRepeated: isRepeated).checked(),
            // Others are deleted last, because that waits for nobody and so cannot deadlock.
            InboxSQL.state(key), InboxSQL.forget,
        ]
        for _ in 0..<Self.attempts {
            let results: [PostgresResult]
            do {
                results = try await client.run(statements, observer: observer)
            } catch let error as EventBusError where error.isLocked(at: 3) {
                return .inProgress(retryAfter: Self.recheck)
            }
            if let claim = try Self.newClaim(results, key) { return .new(claim) }
            let state = results[4]
            // The record may have been deleted since.
            guard state.count > 0 else { continue }
            let left = try state.integer(0, 1)
            // The transaction that holds an expired record decides what becomes of it.
            guard left > 0 else { break }
            if try state.boolean(0, 0) {
                let digest = try state.optionalInteger(0, 2).map { UInt64(bitPattern: $0) }
                return key.decision(completedWith: digest)
            }
            return .inProgress(retryAfter: .milliseconds(left))
        }
        return .inProgress(retryAfter: Self.recheck)
    }

    /// Returns the claim that the statements of ``claim(_:lease:token:isRepeated:_:)`` have made, if any.
    private static func newClaim(_ results: [PostgresResult], _ key: InboxKey) throws -> InboxClaim? {
        guard results[3].count > 0 else { return nil }
        return InboxClaim(key: key, fence: UInt64(bitPattern: try results[3].integer(0, 0)))
    }

    /// Ends the claim of a call without an answer in the background. The server may still be at work on that call, so this is
    /// repeated until its time limit is over.
    private func withdraw(_ key: InboxKey, lease: Duration, token: Int64) {
        let start = ContinuousClock.now
        let settled = start + client.configuration.boundedTimeout
        let end = start + .milliseconds(Self.milliseconds(lease))
        Task { [client] in
            var pause = Self.recheck
            while ContinuousClock.now < end {
                do {
                    try await client.run([InboxSQL.waitForTable, InboxSQL.withdraw(key, token: token)])
                    if ContinuousClock.now >= settled { return }
                } catch let error as EventBusError where error.code == .shuttingDown {
                    return
                } catch {
                    // Tried again below.
                }
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(5))
            }
        }
    }

    /// Extends an active claim.
    ///
    /// A transaction that holds the record, such as the handler's own after ``row(for:retention:)``, keeps the claim
    /// active until it ends. The claim is not extended meanwhile: if the transaction is rolled back after the end of the
    /// lease, another consumer can claim the event immediately.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        try await withCheckedThrowingContinuation { continuation in
            Self.renew(claim, lease: lease, over: client) { continuation.resume(with: $0) }
        }
    }

    /// Records that the event was handled. The call completes even if the calling task is cancelled.
    ///
    /// - Throws: `EventBusError`, with code `.unavailable` also while a transaction holds the record. Once that has ended,
    ///   another call succeeds.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let results = try await run([
            InboxSQL.waitForRecord, InboxSQL.complete(claim, retention: Self.milliseconds(retention)),
            InboxSQL.state(claim.key),
        ])
        let state = results[2]
        guard results[1].affectedCount == 0 else { return }
        guard state.count > 0 else { throw EventBusError.held(claim) }
        let isCompleted = try state.boolean(0, 0)
        if try Self.isOwn(state, claim) {
            // The transaction of the effect has recorded it.
            if isCompleted { return }
            throw EventBusError.held(claim)
        }
        if try state.integer(0, 1) <= 0 { throw EventBusError.held(claim) }
        throw EventBusError.replaced(claim, isCompleted: isCompleted)
    }

    /// Ends a claim, so that the event can be claimed again immediately. The call completes even if the calling task is
    /// cancelled. It waits for a transaction that holds the record, for at most the `commandTimeout`.
    public func abandon(_ claim: InboxClaim) async throws {
        let deadline = ContinuousClock.now + client.configuration.boundedTimeout
        let statements = try [InboxSQL.waitForTable, InboxSQL.abandon(claim).checked(), InboxSQL.state(claim.key)]
        try await withoutCancellation { [client] in
            // The wait is here, because one in the server would delay all statements that follow on the connection.
            var pause = Duration.milliseconds(10)
            while true {
                let state = try await client.run(statements)[2]
                guard state.count > 0, try Self.isOwn(state, claim), try !state.boolean(0, 0) else { return }
                guard ContinuousClock.now + pause < deadline else { throw EventBusError.held(claim) }
                try await Task.sleep(for: pause)
                pause = min(pause * 2, Self.recheck)
            }
        }
    }

    /// The number of attempts to claim an event whose record disappears meanwhile.
    private static let attempts = 3
    /// The time after which a record that a transaction holds is looked at again.
    private static let recheck = Duration.milliseconds(100)

    /// Returns a Boolean value indicating whether a row of `InboxSQL.state` is that of a claim.
    private static func isOwn(_ state: PostgresResult, _ claim: InboxClaim) throws -> Bool {
        try state.integer(0, 3) == Int64(bitPattern: claim.fence)
    }

    private func run(_ statements: [PostgresStatement]) async throws -> [PostgresResult] {
        for statement in statements { _ = try statement.checked() }
        return try await withoutCancellation { [client] in try await client.run(statements) }
    }

    /// Returns a duration in milliseconds, rounded up, at least 1 and at most 100 years.
    static func milliseconds(_ duration: Duration) -> Int64 {
        let bounded = min(max(duration, .milliseconds(1)), .seconds(100 * 366 * 24 * 60 * 60))
        let (seconds, attoseconds) = bounded.components
        return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}

extension EventBusError {
    /// Returns the error for a record that another transaction holds.
    fileprivate static func held(_ claim: InboxClaim) -> EventBusError {
        EventBusError(.unavailable, "another transaction holds the inbox's record of \(claim.key)")
    }

    /// Returns a Boolean value indicating whether the server gave up waiting for a lock in a statement of a call.
    fileprivate func isLocked(at statement: Int) -> Bool {
        guard let error = underlying as? PostgresServerError else { return false }
        return error.code == PostgresServerError.lockNotAvailable && error.statement == statement
    }
}
