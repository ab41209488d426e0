public import EventBus
public import EventBusOutbox

/// An outbox under test, with an empty store of its own.
///
/// ``OutboxConformance`` stores events through it, and publishes them with its relays.
///
/// A subject on SQLite:
///
/// ```swift
/// struct SQLiteSubject: OutboxSubject {
///     let database: DatabaseQueue
///     let bus: EventBus
///     var outbox: Outbox { Outbox(bus: bus) }
///
///     func store(_ envelopes: [Envelope], options: PublishOptions, commits: Bool) async throws {
///         struct RolledBack: Error {}
///         do {
///             try await database.write { db in
///                 for envelope in envelopes { try outbox.publish(envelope, options: options, in: db) }
///                 if !commits { throw RolledBack() }
///             }
///         } catch is RolledBack {}
///     }
///
///     func makeRelay(_ configuration: OutboxRelay.Configuration) throws -> OutboxRelay {
///         OutboxRelay(database: database, bus: bus, configuration: configuration)
///     }
///
///     func backlog() async throws -> OutboxBacklog {
///         try await database.read { db in try outbox.backlog(in: db) }
///     }
///     // The others call the outbox in the same way.
/// }
/// ```
public protocol OutboxSubject: Sendable {
    /// Stores events in one transaction, in this order, and commits it or rolls it back.
    func store(_ envelopes: [Envelope], options: PublishOptions, commits: Bool) async throws

    /// Returns a new relay from the store to the bus of the subject.
    func makeRelay(_ configuration: OutboxRelay.Configuration) throws -> OutboxRelay

    /// Returns the number of waiting and parked events.
    func backlog() async throws -> OutboxBacklog

    /// Returns the parked events, oldest first.
    func parked() async throws -> [ParkedEvent]

    /// Returns a parked event to its place. Returns `true` if there was such an event.
    func replay(_ event: ParkedEvent.ID) async throws -> Bool

    /// Deletes a parked event. Returns `true` if there was such an event.
    func discard(_ event: ParkedEvent.ID) async throws -> Bool
}
