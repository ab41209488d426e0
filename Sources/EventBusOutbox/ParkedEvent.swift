public import EventBus

/// An event that the relay has given up publishing, with the reason.
///
/// ```swift
/// let parked = try await database.read { db in try outbox.parked(in: db) }
/// for event in parked { print(event.id, event.failure.message) }
/// ```
///
/// It is kept in a separate table until it is replayed or discarded through the ``Outbox``.
public struct ParkedEvent: Identifiable, Sendable {
    /// The position of the event among all events stored in this outbox.
    public var id: Int64
    /// The event, or `nil` if the stored row is not a valid envelope, which ``failure`` then explains.
    public var envelope: Envelope?
    /// The reason why the event was given up.
    public var failure: Failure
    /// The time at which the event was stored.
    public var storedAt: EventTime
    /// The time at which the event was given up.
    public var parkedAt: EventTime

    package init(id: Int64, envelope: Envelope?, failure: Failure, storedAt: EventTime, parkedAt: EventTime) {
        self.id = id
        self.envelope = envelope
        self.failure = failure
        self.storedAt = storedAt
        self.parkedAt = parkedAt
    }
}
