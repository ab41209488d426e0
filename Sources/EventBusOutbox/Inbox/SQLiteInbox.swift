public import EventBus
public import GRDB

/// Remembers in a database which events were handled: the consuming side of an ``Outbox``.
///
/// A handler that writes to the same database has exactly one effect for each event and subscription if its writes and
/// the inbox's record are in one transaction:
///
/// ```swift
/// let inbox = SQLiteInbox(database: database)
///
/// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
///     try await inbox.performOnce(context) { db in
///         try reserve(order, in: db)
///         try outbox.publish(StockReserved(orderID: order.orderID), in: db)
///     }
/// }
/// ```
///
/// Given to a subscription as its `Inbox` it works for handlers with any effect, but then the record and the effect are
/// two steps: a process that is killed between them leaves the effect without its record.
///
/// The tables come from ``registerMigration(in:)``. Records are measured by the time of day, and those whose time is
/// over are deleted along the way.
public final class SQLiteInbox: Inbox {
    /// How long a record is kept unless stated: 7 days.
    public static let defaultRetention = Duration.seconds(7 * 24 * 60 * 60)

    private let database: any DatabaseWriter
    private let clock: WallClock

    /// An inbox in `database`.
    ///
    /// - Parameters:
    ///   - database: The database with the inbox's tables.
    ///   - clock: What moves the time on, in tests a manual clock.
    public init(database: any DatabaseWriter, clock: some Clock<Duration> = ContinuousClock()) {
        self.database = database
        self.clock = WallClock(AnyClock(clock))
    }

    /// Adds the inbox's tables to the migrations of a database, as `eventbus.inbox.v1` and `eventbus.inbox.v2`.
    ///
    /// All names in the database begin with `eventbus_inbox`.
    public static func registerMigration(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("eventbus.inbox.v1") { db in try InboxSchema.createV1(in: db) }
        migrator.registerMigration("eventbus.inbox.v2") { db in try InboxSchema.upgradeToV2(in: db) }
    }

    /// Makes the inbox's tables where they are missing, and upgrades those of an earlier release: for databases without a
    /// migrator.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public static func createTables(in db: Database) throws {
        try InboxSchema.createV1(in: db)
        try InboxSchema.upgradeToV2(in: db)
    }

    // MARK: Effect and record in one transaction

    /// Handles a delivery at most once, in a transaction of its own.
    ///
    /// - Parameters:
    ///   - context: the delivery's.
    ///   - retention: how long the record is kept; longer than the broker may take to deliver a duplicate.
    ///   - body: what to do. What it writes and the record that it was done are committed together, or not at all.
    /// - Returns: What `body` returns; `nil` where the event was handled before and `body` did not run.
    /// - Throws: What `body` throws; a `DatabaseError` of GRDB.
    @discardableResult
    public func performOnce<Result: Sendable>(
        _ context: EventContext,
        retention: Duration = defaultRetention,
        _ body: @Sendable (Database) throws -> Result
    ) async throws -> Result? {
        try await database.write { db in
            try performOnce(context.inboxKey, retention: retention, in: db, body)
        }
    }

    /// Handles an event at most once, within the transaction of `db`; opens one where there is none.
    ///
    /// Where `body` throws, what it wrote is undone with the record, also if the surrounding transaction goes on.
    ///
    /// - Parameters:
    ///   - key: the event and the subscription, such as ``/EventBus/EventContext/inboxKey``.
    ///   - retention: how long the record is kept; longer than the broker may take to deliver a duplicate.
    ///   - db: the connection of the transaction, which is to the inbox's database.
    ///   - body: what to do.
    /// - Returns: What `body` returns; `nil` where the event was handled before and `body` did not run.
    /// - Throws: What `body` throws; a `DatabaseError` of GRDB.
    @discardableResult
    public func performOnce<Result>(
        _ key: InboxKey,
        retention: Duration = defaultRetention,
        in db: Database,
        _ body: (Database) throws -> Result
    ) throws -> Result? {
        var result: Result?
        try db.inSavepoint {
            let now = clock.now
            guard try InboxStore.completeFirst(key, until: now + retention, now: now, in: db) else {
                return .commit
            }
            result = try body(db)
            return .commit
        }
        return result
    }

    // MARK: Inbox

    /// Claims an event for a subscription, unless it is completed or another claim on it is in force.
    public func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        try await write { [clock] db in try InboxStore.begin(key, lease: lease, now: clock.now, in: db) }
    }

    /// Extends a claim that is in force.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        try await write { [clock] db in try InboxStore.renew(claim, lease: lease, now: clock.now, in: db) }
    }

    /// Records that the event was handled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        try await write { [clock] db in
            let now = clock.now
            try InboxStore.complete(claim, until: now + retention, now: now, in: db)
        }
    }

    /// Ends a claim, so that the event can be claimed again at once.
    public func abandon(_ claim: InboxClaim) async throws {
        try await write { db in try InboxStore.abandon(claim, in: db) }
    }

    private func write<Result: Sendable>(_ body: @Sendable (Database) throws -> Result) async throws -> Result {
        do {
            return try await database.write(body)
        } catch let error as DatabaseError {
            throw EventBusError(.unavailable, "the inbox's database cannot be used", underlying: error)
        }
    }
}
