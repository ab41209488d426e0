#if SQLite
public import EventBus
public import GRDB

/// An outbox, which stores events that are published if, and only if, a database transaction commits.
///
/// ```swift
/// let outbox = Outbox(bus: bus)
///
/// try await database.write { db in
///     try order.insert(db)
///     try outbox.publish(OrderCreated(orderID: order.id), in: db)
/// }
/// ```
///
/// An event is stored in the same transaction as the data that it describes. An ``OutboxRelay`` publishes committed
/// events, and deletes each one when the broker has confirmed it. An event of a rolled back transaction is therefore
/// never seen, one of a committed transaction is published at least once, and a transaction can commit while the broker
/// is down.
///
/// ``registerMigration(in:)`` creates the tables.
public struct Outbox: Sendable {
    private let bus: EventBus
    private let clock: WallClock

    /// Creates an outbox for the events of `bus`, which encodes them and provides their source and correlation.
    public init(bus: EventBus) {
        self.bus = bus
        self.clock = WallClock(bus.clock)
    }

    /// Stores an event inside the transaction of `db`. It is published after the transaction has committed.
    ///
    /// The envelope is created immediately. Identity, time, correlation, causation and trace are those of the calling
    /// code. If a handler stores the event again after its transaction was rolled back, the event keeps its derived
    /// identity. A rolled back savepoint does not count. Local listeners do not see the event.
    ///
    /// - Parameters:
    ///   - event: The event to publish.
    ///   - options: The options, as for `EventBus.publish`. A delay starts now and may have any length: an event whose
    ///     delay exceeds the limit of the broker (`EventBus.maximumDelay`) waits in the database. `deadline` has no
    ///     effect. An event that `requiresSubscriber` waits for a subscriber even if the relay does not require one.
    ///   - db: The connection of the transaction.
    /// - Returns: The event's identity.
    /// - Throws: `EventBusError`: `.encodingFailed`, `.invalidEnvelope`, or `.unsupported` outside a transaction and for
    ///   the options `expiration` and `priority`. A `DatabaseError` of GRDB, such as for missing tables.
    @discardableResult
    public func publish<E: EventBus.Event>(
        _ event: E,
        options: PublishOptions = .init(),
        in db: Database
    ) throws -> EventID {
        let (envelope, revoke) = try bus.revocableEnvelope(for: event, options: options)
        do {
            let id = try publish(envelope, options: options, in: db)
            if let revoke { db.afterNextTransaction(onCommit: { _ in }, onRollback: { _ in revoke() }) }
            return id
        } catch {
            revoke?()
            throw error
        }
    }

    /// Stores an event that is already encoded. See ``publish(_:options:in:)-(E,_,_)``.
    ///
    /// - Returns: The event's identity.
    @discardableResult
    public func publish(
        _ envelope: Envelope,
        options: PublishOptions = .init(),
        in db: Database
    ) throws -> EventID {
        guard db.isInsideTransaction else {
            throw EventBusError(
                .unsupported,
                "an event was given to the outbox outside a transaction: use write { db in … } or inTransaction"
            )
        }
        let row = try OutboxRow(envelope, options: options, maximumDelay: bus.maximumDelay, now: clock.now)
        try OutboxStatements.insert(
            row.envelope,
            storedAt: row.storedAt,
            deliverAt: row.deliverAt,
            readyAt: row.readyAt,
            requiresSubscriber: row.requiresSubscriber,
            in: db
        )
        return envelope.id
    }

    /// Returns the number of events that wait to be published and of parked events.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public func backlog(in db: Database) throws -> OutboxBacklog {
        try OutboxStatements.backlog(now: clock.now, in: db)
    }

    /// Returns at most `limit` parked events, oldest first.
    ///
    /// ```swift
    /// for event in try await database.read({ db in try outbox.parked(in: db) }) {
    ///     print(event.id, event.failure.message)
    /// }
    /// ```
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public func parked(limit: Int = 100, in db: Database) throws -> [ParkedEvent] {
        try OutboxStatements.parked(limit: limit, in: db)
    }

    /// Returns a parked event to its place in the outbox, with all its attempts available again. It precedes the
    /// waiting events of its key that were stored after it.
    ///
    /// ```swift
    /// try await database.write { db in try outbox.replay(event.id, in: db) }
    /// ```
    ///
    /// - Returns: `true` if there was such an event.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func replay(_ event: ParkedEvent.ID, in db: Database) throws -> Bool {
        try OutboxStatements.replay(event, in: db)
    }

    /// Returns every parked event to its place in the outbox, in the order in which the events of each key were stored.
    /// See ``replay(_:in:)``.
    ///
    /// - Returns: The number of events.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func replayAll(in db: Database) throws -> Int {
        var (count, last) = (0, Int64.min)
        while true {
            let sequences = try OutboxStatements.parkedSequences(after: last, limit: 1000, in: db)
            for sequence in sequences where try OutboxStatements.replay(sequence, in: db) { count += 1 }
            guard let next = sequences.last else { return count }
            last = next
        }
    }

    /// Deletes a parked event permanently.
    ///
    /// - Returns: `true` if there was such an event.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func discard(_ event: ParkedEvent.ID, in db: Database) throws -> Bool {
        try OutboxStatements.discard(event, in: db)
    }

    /// Registers the outbox's tables with the migrations of a database, as `eventbus.outbox.v1` and
    /// `eventbus.outbox.v2`.
    ///
    /// ```swift
    /// var migrator = DatabaseMigrator()
    /// Outbox.registerMigration(in: &migrator)
    /// try migrator.migrate(database)
    /// ```
    ///
    /// The names of all tables begin with `eventbus_outbox`.
    public static func registerMigration(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("eventbus.outbox.v1") { db in try OutboxSchema.createFirst(in: db) }
        migrator.registerMigration("eventbus.outbox.v2") { db in try OutboxSchema.upgrade(in: db) }
    }

    /// Creates the outbox's tables if they do not exist, and upgrades older ones. Use it for databases without a
    /// migrator.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public static func createTables(in db: Database) throws {
        try OutboxSchema.createFirst(in: db)
        try OutboxSchema.upgrade(in: db)
    }
}
#endif
