public import EventBus
public import EventBusOutbox

/// An outbox in PostgreSQL, which stores events that are published if, and only if, a transaction commits.
///
/// An event is stored by one SQL statement, which any PostgreSQL driver carries out in the transaction of the service:
///
/// ```swift
/// let outbox = PostgresOutbox(postgres, bus: bus)
///
/// try await database.withTransaction { transaction in
///     try await transaction.insert(order)
///     let row = try outbox.row(for: OrderCreated(orderID: order.id))
///     try await transaction.execute(row.sql, row.values)
/// }
/// ```
///
/// An `OutboxRelay` over the same database publishes committed events and deletes each one when the broker has confirmed
/// it. An event of a rolled back transaction is never seen, and one of a committed transaction is published at least
/// once.
///
/// **Order.** The events of one partition key are published in the order in which they were stored, if the transactions
/// that stored them followed one another. If two transactions store events of one key at the same time, the events of
/// the one that commits later may be published later, whichever stored its events first. A row lock that both take
/// before they store an event, such as the one on the order that the events are about, makes them follow one another.
///
/// ``PostgresClient/migrate()`` creates the tables.
public struct PostgresOutbox: Sendable {
    private let client: PostgresClient
    private let bus: EventBus
    private let clock: WallClock

    /// Creates an outbox for the events of `bus`, which encodes them and provides their source and correlation.
    public init(_ client: PostgresClient, bus: EventBus) {
        self.client = client
        self.bus = bus
        self.clock = WallClock(bus.clock)
    }

    /// Returns the statement that stores an event. The event is published after the transaction that carries it out has
    /// committed.
    ///
    /// The envelope is created immediately. Identity, time, correlation, causation and trace are those of the calling
    /// code. Local listeners do not see the event. Each call inside a handler counts as a publish of the event, so carry
    /// out the same statement again if its transaction is rolled back and repeated.
    ///
    /// - Parameters:
    ///   - event: The event to publish.
    ///   - options: The options, as for `EventBus.publish`. A delay starts now and may have any length: an event whose
    ///     delay exceeds the limit of the broker (`EventBus.maximumDelay`) waits in the database. `deadline` has no
    ///     effect. An event that `requiresSubscriber` waits for a subscriber even if the relay does not require one.
    /// - Throws: `EventBusError`: `.encodingFailed`, `.invalidEnvelope`, also for a text with U+0000, which PostgreSQL
    ///   does not store, except for the ids of causes, which digests replace; `.unsupported` for the options `expiration` and `priority`.
    public func row<E: Event>(for event: E, options: PublishOptions = .init()) throws -> PostgresStatement {
        let (envelope, revoke) = try bus.revocableEnvelope(for: event, options: options)
        do {
            return try row(for: envelope, options: options)
        } catch {
            revoke?()
            throw error
        }
    }

    /// Returns the statement that stores an event that is already encoded. See ``row(for:options:)-(E,_)``.
    public func row(for envelope: Envelope, options: PublishOptions = .init()) throws -> PostgresStatement {
        // An event that is passed on may have ids that PostgreSQL cannot store.
        let row = try OutboxRow(envelope.storable, options: options, maximumDelay: bus.maximumDelay, now: clock.now)
        return try OutboxSQL.insert(row).checked()
    }

    // MARK: State

    /// Returns the number of events that wait to be published and of parked events. At most 100,000 of each state are
    /// counted (`OutboxBacklog.isLowerBound`).
    ///
    /// - Throws: `EventBusError`.
    public func backlog() async throws -> OutboxBacklog {
        try OutboxBacklog(await client.run(OutboxSQL.backlog), now: clock.now)
    }

    /// Returns at most `limit` parked events, oldest first.
    ///
    /// - Throws: `EventBusError`.
    public func parked(limit: Int = 100) async throws -> [ParkedEvent] {
        let reading = TransactionSettings.reading(client.configuration)
        let rows = try await client.run([reading, OutboxSQL.parked(limit: limit)])[1]
        return try (0..<rows.count).map { row in try ParkedEvent(rows, row) }
    }

    /// Returns a parked event to its place in the outbox, with all its attempts available again. It precedes the
    /// waiting events of its key that were stored after it.
    ///
    /// ```swift
    /// for event in try await outbox.parked() { try await outbox.replay(event.id) }
    /// ```
    ///
    /// - Returns: `true` if there was such an event.
    /// - Throws: `EventBusError`.
    @discardableResult
    public func replay(_ event: ParkedEvent.ID) async throws -> Bool {
        (try await client.run(OutboxSQL.replay(event)).first?.affectedCount ?? 0) > 0
    }

    /// Returns every parked event to its place in the outbox, in the order in which the events of each key were stored.
    /// See ``replay(_:)``.
    ///
    /// - Returns: The number of events.
    /// - Throws: `EventBusError`.
    @discardableResult
    public func replayAll() async throws -> Int {
        var (count, last) = (0, Int64.min)
        while true {
            let rows = try await client.run(OutboxSQL.parkedSequences(after: last, limit: OutboxSQL.returning))
            for row in 0..<rows.count {
                last = try rows.integer(row, 0)
                if try await replay(last) { count += 1 }
            }
            if rows.count == 0 { return count }
        }
    }

    /// Deletes a parked event permanently.
    ///
    /// - Returns: `true` if there was such an event.
    /// - Throws: `EventBusError`.
    @discardableResult
    public func discard(_ event: ParkedEvent.ID) async throws -> Bool {
        try await client.run(OutboxSQL.delete(event, from: .parked)).affectedCount > 0
    }
}

extension Envelope {
    /// The envelope with digests for ids of other events that contain U+0000.
    fileprivate var storable: Envelope {
        var envelope = self
        if correlationID?.rawValue.utf8.contains(0) == true { envelope.correlationID = correlationID?.portable }
        if causationID?.rawValue.utf8.contains(0) == true { envelope.causationID = causationID?.portable }
        return envelope
    }
}

extension OutboxBacklog {
    /// Creates a backlog from the row of `OutboxSQL.backlog`.
    init(_ rows: PostgresResult, now: EventTime) throws {
        self.init(
            waiting: Int(clamping: try rows.integer(0, 0)),
            unrouted: Int(clamping: try rows.integer(0, 1)),
            delayed: Int(clamping: try rows.integer(0, 2)),
            parked: Int(clamping: try rows.integer(0, 3)),
            limit: OutboxSQL.countLimit,
            oldest: try [4, 5].map { try rows.optionalInteger(0, $0).map(EventTime.init(milliseconds:)) },
            now: now
        )
    }
}

extension ParkedEvent {
    /// Creates the event of a row of `OutboxSQL.parked`. A value that cannot be read does not hide the event.
    init(_ rows: PostgresResult, _ row: Int) throws {
        let first = EventColumns.next
        self.init(
            id: try rows.integer(row, EventColumns.sequence),
            envelope: try? Envelope(rows, row),
            failure: Failure(
                reason: Failure.Reason(rawValue: (try? rows.text(row, first + 1)) ?? "unknown"),
                errorType: (try? rows.text(row, first + 2)) ?? "unknown",
                message: (try? rows.text(row, first + 3)) ?? "",
                attempt: Int(clamping: (try? rows.integer(row, EventColumns.attempts)) ?? 0)
            ),
            storedAt: EventTime(milliseconds: (try? rows.integer(row, EventColumns.storedAt)) ?? 0),
            parkedAt: EventTime(milliseconds: (try? rows.integer(row, first)) ?? 0)
        )
    }
}
