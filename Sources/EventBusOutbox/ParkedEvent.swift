public import EventBus

/// An event that the relay has given up publishing, with the reason.
///
/// It rests in a table of its own until it is replayed or discarded through the ``Outbox``.
public struct ParkedEvent: Identifiable, Sendable {
    /// Its place among all events stored in this outbox.
    public var id: Int64
    /// The event; `nil` where what is stored is no envelope, which ``failure`` then explains.
    public var envelope: Envelope?
    /// Why it was given up.
    public var failure: Failure
    /// When it was stored.
    public var storedAt: EventTime
    /// When it was given up.
    public var parkedAt: EventTime
}
