public import EventBus
public import GRDB

/// Events that are published if, and only if, a database transaction commits.
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
/// The event is stored in the same transaction as the data it tells of. An ``OutboxRelay`` publishes what was committed,
/// and deletes it once the broker holds it. So an event of a rolled back transaction is never seen, one of a committed
/// transaction is published at least once, and the broker need not be up for the transaction to commit.
///
/// The tables come from ``registerMigration(in:)``.
public struct Outbox: Sendable {
    private let bus: EventBus
    private let clock: WallClock

    /// An outbox for the events of `bus`, which encodes them and names their source and their correlation.
    public init(bus: EventBus) {
        self.bus = bus
        self.clock = WallClock(bus.clock)
    }

    /// Stores an event within the transaction of `db`, to be published once that has committed.
    ///
    /// The envelope is made here and now: identity, time, correlation and causation, and the trace it belongs to, are
    /// those of the code that calls this. Local listeners do not see the event.
    ///
    /// - Parameters:
    ///   - event: what to publish.
    ///   - options: as for `EventBus.publish`. A delay counts from now and may be of any length: an event whose delay is
    ///     longer than the broker can hold (`EventBus.maximumDelay`) waits in the database until it can. `deadline` has no
    ///     meaning here. An event that `requiresSubscriber` stays until there is one even where the relay would let it go.
    ///   - db: the connection of the transaction.
    /// - Returns: The event's identity.
    /// - Throws: `EventBusError`: `.encodingFailed`, `.invalidEnvelope`; `.unsupported` outside a transaction. A
    ///   `DatabaseError` of GRDB, for example where the tables are missing.
    @discardableResult
    public func publish<E: EventBus.Event>(
        _ event: E,
        options: PublishOptions = .init(),
        in db: Database
    ) throws -> EventID {
        try publish(try bus.envelope(for: event, options: options), options: options, in: db)
    }

    /// Stores an event that is encoded already; see ``publish(_:options:in:)-(E,_,_)``.
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
        var envelope = envelope
        TracingMiddleware().carryTrace(in: &envelope)
        try envelope.validate()
        let now = clock.now
        try OutboxStore.insert(
            envelope,
            storedAt: now,
            deliverAt: options.delay > .zero ? now + options.delay : nil,
            readyAt: options.delay > bus.maximumDelay ? now + (options.delay - bus.maximumDelay) : nil,
            requiresSubscriber: options.requiresSubscriber,
            in: db
        )
        return envelope.id
    }

    /// Returns the numbers of the events that wait to be published and of those that were given up.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public func backlog(in db: Database) throws -> OutboxBacklog {
        try OutboxStore.backlog(now: clock.now, in: db)
    }

    /// The events that were given up, oldest first, at most `limit`.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public func parked(limit: Int = 100, in db: Database) throws -> [ParkedEvent] {
        try OutboxStore.parked(limit: limit, in: db)
    }

    /// Puts a parked event back to its place, with all its attempts: before the events of its key that were stored after
    /// it and still wait.
    ///
    /// - Returns: Whether there was such an event.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func replay(_ event: ParkedEvent.ID, in db: Database) throws -> Bool {
        try OutboxStore.replay(event, in: db)
    }

    /// Puts every parked event back to its place; see ``replay(_:in:)``. The order of each key is that of storing.
    ///
    /// - Returns: How many there were.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func replayAll(in db: Database) throws -> Int {
        var (count, last) = (0, Int64.min)
        while true {
            let sequences = try OutboxStore.parkedSequences(after: last, limit: 1000, in: db)
            for sequence in sequences where try OutboxStore.replay(sequence, in: db) { count += 1 }
            guard let next = sequences.last else { return count }
            last = next
        }
    }

    /// Removes a parked event for good.
    ///
    /// - Returns: Whether there was such an event.
    /// - Throws: A `DatabaseError` of GRDB.
    @discardableResult
    public func discard(_ event: ParkedEvent.ID, in db: Database) throws -> Bool {
        try OutboxStore.discard(event, in: db)
    }

    /// Adds the outbox's tables to the migrations of a database, as `eventbus.outbox.v1` and `eventbus.outbox.v2`.
    ///
    /// All names in the database begin with `eventbus_outbox`.
    public static func registerMigration(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("eventbus.outbox.v1") { db in try OutboxSchema.createFirst(in: db) }
        migrator.registerMigration("eventbus.outbox.v2") { db in try OutboxSchema.upgrade(in: db) }
    }

    /// Creates the outbox's tables where they are missing and brings older ones up to date: for databases without a
    /// migrator.
    ///
    /// - Throws: A `DatabaseError` of GRDB.
    public static func createTables(in db: Database) throws {
        try OutboxSchema.createFirst(in: db)
        try OutboxSchema.upgrade(in: db)
    }
}
