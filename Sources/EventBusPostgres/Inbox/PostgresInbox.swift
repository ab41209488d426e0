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

    /// Creates an inbox in the database of `client`.
    public init(_ client: PostgresClient) {
        self.client = client
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

    /// Claims an event for a subscription, unless it is completed or another claim on it is active.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let begin = try InboxSQL.begin(key, lease: Self.milliseconds(lease)).checked()
        for _ in 0..<Self.attempts {
            // The record is deleted last, because that waits for nobody and so cannot deadlock.
            let results = try await client.run([begin, InboxSQL.state(key), InboxSQL.forget])
            if results[0].count > 0 {
                return .new(InboxClaim(key: key, fence: UInt64(bitPattern: try results[0].integer(0, 0))))
            }
            // The record may have been deleted since.
            guard results[1].count > 0 else { continue }
            if try results[1].boolean(0, 0) {
                let digest = try results[1].optionalInteger(0, 2).map { UInt64(bitPattern: $0) }
                return key.decision(completedWith: digest)
            }
            return .inProgress(retryAfter: .milliseconds(max(1, try results[1].integer(0, 1))))
        }
        return .inProgress(retryAfter: .milliseconds(100))
    }

    /// Extends an active claim.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        let result = try await run([InboxSQL.renew(claim, lease: Self.milliseconds(lease))])[0]
        if result.affectedCount == 0 { throw EventBusError.notInForce(claim) }
    }

    /// Records that the event was handled. The call completes even if the calling task is cancelled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let results = try await run([
            InboxSQL.complete(claim, retention: Self.milliseconds(retention)), InboxSQL.state(claim.key),
        ])
        guard results[0].affectedCount == 0 else { return }
        let isCompleted = results[1].count > 0 ? try results[1].boolean(0, 0) : false
        throw EventBusError.replaced(claim, isCompleted: isCompleted)
    }

    /// Ends a claim, so that the event can be claimed again immediately. The call completes even if the calling task is
    /// cancelled.
    public func abandon(_ claim: InboxClaim) async throws {
        _ = try await run([InboxSQL.abandon(claim)])
    }

    /// The number of attempts to claim an event whose record disappears meanwhile.
    private static let attempts = 3

    private func run(_ statements: [PostgresStatement]) async throws -> [PostgresResult] {
        for statement in statements { _ = try statement.checked() }
        return try await withoutCancellation { [client] in try await client.run(statements) }
    }

    /// Returns a duration in milliseconds, rounded up, at least 1 and at most 100 years.
    private static func milliseconds(_ duration: Duration) -> Int64 {
        let bounded = min(max(duration, .milliseconds(1)), .seconds(100 * 366 * 24 * 60 * 60))
        let (seconds, attoseconds) = bounded.components
        return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}
