#if SQLite
public import EventBus
public import GRDB

/// An inbox that records in a database which events were handled. It is the consuming counterpart of an ``Outbox``.
///
/// If a handler writes to the same database, and its writes and the inbox's record are in one transaction, it has
/// exactly one effect for each event and subscription:
///
/// ```swift
/// let inbox = SQLiteInbox(database: database, bus: bus)
///
/// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
///     try await inbox.performOnce(context) { db in
///         try reserve(order, in: db)
///         try outbox.publish(StockReserved(orderID: order.orderID), in: db)
///     }
/// }
/// ```
///
/// As the `Inbox` of a subscription it works for handlers with any effect, but then the record and the effect are two
/// steps: if a process is killed between them, the effect has no record and the event is handled again. Claims are renewed
/// by tasks, so handlers that block all threads on which tasks run must not do so for longer than the lease.
///
/// ``registerMigration(in:)`` creates the tables. Retention is measured by the time of day. Expired records are deleted
/// while others are written.
public final class SQLiteInbox: ClockedInbox {
    /// The default retention of a record: 7 days.
    public static let defaultRetention = Duration.seconds(7 * 24 * 60 * 60)

    private let database: any DatabaseWriter
    private let time: AdoptedClock

    /// Creates an inbox in `database` for the subscriptions of `bus`.
    ///
    /// Claims and retention are measured by the clock of the bus, which is the real time, except in tests with a manual
    /// clock.
    public init(database: any DatabaseWriter, bus: EventBus) {
        self.database = database
        self.time = AdoptedClock(bus.clock)
    }

    /// Creates an inbox in `database`.
    ///
    /// Claims and retention are measured by the clock of the first bus that has a subscription with the inbox, or whose
    /// handler calls it. If the inbox is used before, they are measured by the real time.
    public init(database: any DatabaseWriter) {
        self.database = database
        self.time = AdoptedClock()
    }

    /// Creates an inbox in `database` that measures claims and retention by `clock`.
    public init(database: any DatabaseWriter, clock: some Clock<Duration>) {
        self.database = database
        self.time = AdoptedClock(clock)
    }

    package func adopt(_ clock: AnyClock) { time.adopt(clock) }

    private var clock: WallClock { WallClock(time.current) }

    /// Registers the inbox's tables with the migrations of a database, as `eventbus.inbox.v1` to `.v3`.
    ///
    /// ```swift
    /// var migrator = DatabaseMigrator()
    /// SQLiteInbox.registerMigration(in: &migrator)
    /// try migrator.migrate(database)
    /// ```
    ///
    /// The names of all tables begin with `eventbus_inbox`.
    public static func registerMigration(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("eventbus.inbox.v1") { db in try InboxSchema.createV1(in: db) }
        migrator.registerMigration("eventbus.inbox.v2") { db in try InboxSchema.upgradeToV2(in: db) }
        migrator.registerMigration("eventbus.inbox.v3") { db in try InboxSchema.upgradeToV3(in: db) }
    }

    /// Creates the inbox's tables if they do not exist, and upgrades those of an earlier release. Use it for databases
    /// without a migrator.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public static func createTables(in db: Database) throws {
        try InboxSchema.createV1(in: db)
        try InboxSchema.upgradeToV2(in: db)
        try InboxSchema.upgradeToV3(in: db)
    }

    // MARK: Effect and record in one transaction

    /// Handles a delivery at most once, in a separate transaction.
    ///
    /// A suppressed duplicate is counted and logged as with ``/EventBus/DeduplicationMiddleware``. While the database cannot
    /// be used, the event is deferred without an attempt, if the handler rethrows the error.
    ///
    /// - Parameters:
    ///   - context: The context of the delivery.
    ///   - retention: The time for which the record is kept. It has to exceed the time within which the broker may
    ///     deliver a duplicate.
    ///   - body: The work to do. Its writes and the record are committed together, or not at all.
    /// - Returns: The result of `body`, or `nil` if the event was handled before and `body` did not run.
    /// - Throws: Errors of `body`; ``/EventBus/EventBusError`` with code `.unavailable` if the database cannot be used, for
    ///   example because another connection has locked it or the disk is full. A violated constraint is thrown as the
    ///   `DatabaseError` of GRDB.
    @discardableResult
    public func performOnce<Result: Sendable>(
        _ context: EventContext,
        retention: Duration = defaultRetention,
        _ body: @Sendable (Database) throws -> Result
    ) async throws -> Result? {
        adopt(context.clock)
        let key = context.inboxKey
        let (decision, result): (InboxDecision, Result?)
        do {
            (decision, result) = try await database.write { db in try decide(key, retention: retention, in: db, body) }
        } catch {
            throw InboxFailure.error(for: error)
        }
        context.noteSuppression(decision)
        return result
    }

    /// Handles an event at most once inside the transaction of `db`. Opens a transaction if there is none.
    ///
    /// If `body` throws, its writes and the record are rolled back, even if the surrounding transaction continues.
    ///
    /// - Parameters:
    ///   - key: The event and the subscription, such as ``/EventBus/EventContext/inboxKey``.
    ///   - retention: The time for which the record is kept. It has to exceed the time within which the broker may
    ///     deliver a duplicate.
    ///   - db: The connection of the transaction, which has to be a connection to the inbox's database.
    ///   - body: The work to do.
    /// - Returns: The result of `body`, or `nil` if the event was handled before and `body` did not run.
    /// - Throws: Errors of `body`; ``/EventBus/EventBusError`` with code `.unavailable` if the database cannot be used. The
    ///   statements of the caller's own transaction throw a `DatabaseError` of GRDB.
    @discardableResult
    public func performOnce<Result>(
        _ key: InboxKey,
        retention: Duration = defaultRetention,
        in db: Database,
        _ body: (Database) throws -> Result
    ) throws -> Result? {
        do {
            return try decide(key, retention: retention, in: db, body).result
        } catch {
            throw InboxFailure.error(for: error)
        }
    }

    /// Records the event and runs `body`, unless the event was handled before.
    ///
    /// - Throws: An ``InboxFailure`` with an error of `body`; a `DatabaseError` of the inbox's own statements.
    private func decide<Result>(
        _ key: InboxKey,
        retention: Duration,
        in db: Database,
        _ body: (Database) throws -> Result
    ) throws -> (decision: InboxDecision, result: Result?) {
        var decision = InboxDecision.completed
        var result: Result?
        try db.inSavepoint {
            let now = clock.now
            decision = try InboxStatements.completeFirst(key, until: now + retention, now: now, in: db)
            guard case .new = decision else { return .commit }
            do {
                result = try body(db)
            } catch {
                throw InboxFailure(ofBody: error)
            }
            return .commit
        }
        return (decision, result)
    }

    // MARK: Inbox

    /// Claims an event for a subscription, unless it is completed or another claim on it is active.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        try await write { [clock] db in try InboxStatements.begin(key, lease: lease, now: clock.now, in: db) }
    }

    /// Extends an active claim.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        try await write { [clock] db in try InboxStatements.renew(claim, lease: lease, now: clock.now, in: db) }
    }

    /// Records that the event was handled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        try await write { [clock] db in
            let now = clock.now
            try InboxStatements.complete(claim, until: now + retention, now: now, in: db)
        }
    }

    /// Ends a claim, so that the event can be claimed again immediately.
    public func abandon(_ claim: InboxClaim) async throws {
        try await write { db in try InboxStatements.abandon(claim, in: db) }
    }

    private func write<Result: Sendable>(_ body: @Sendable (Database) throws -> Result) async throws -> Result {
        do {
            return try await database.write(body)
        } catch let error as DatabaseError {
            throw InboxFailure.unavailable(error)
        }
    }
}
#endif
