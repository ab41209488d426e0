package import EventBus

/// A sequence of events that are published one after another: the events of one key, or a single event without a key.
package enum Lane: Hashable, Sendable {
    case key(ExactString)
    case single(Int64)
}

/// The number of an event in its table and its identity. Numbers can be given again, as by a server that took over without
/// the last ones, and then another event has the number.
package struct EventPlace: Hashable, Sendable {
    package var sequence: Int64
    /// The identity of the event, or `nil` if it was read in the same transaction, so that the number is enough.
    package var eventID: EventID?

    package init(sequence: Int64, eventID: EventID?) {
        self.sequence = sequence
        self.eventID = eventID
    }
}

/// An event in the outbox.
package struct StoredEvent: Sendable {
    /// The position among all events ever stored in this outbox.
    package var sequence: Int64
    package var envelope: Envelope
    package var storedAt = EventTime(milliseconds: 0)
    /// The time at which subscribers are to receive the event, or `nil` for immediately.
    package var deliverAt: EventTime?
    package var requiresSubscriber = false
    /// The number of failed attempts that count.
    package var attempts = 0
    /// The number of times that the broker refused the event or gave no answer. These use up no attempt.
    package var holds = 0
    /// A Boolean value indicating whether the event was set aside for lack of a subscription, and now serves to check
    /// for one.
    package var isProbe = false

    package var lane: Lane {
        isProbe ? .single(sequence) : envelope.exactPartitionKey.map(Lane.key) ?? .single(sequence)
    }

    package var place: EventPlace { EventPlace(sequence: sequence, eventID: envelope.id) }

    /// The approximate number of bytes in memory.
    package var size: Int { envelope.payload.count + 512 }

    package init(
        sequence: Int64,
        envelope: Envelope,
        storedAt: EventTime = EventTime(milliseconds: 0),
        deliverAt: EventTime? = nil,
        requiresSubscriber: Bool = false,
        attempts: Int = 0,
        holds: Int = 0,
        isProbe: Bool = false
    ) {
        self.sequence = sequence
        self.envelope = envelope
        self.storedAt = storedAt
        self.deliverAt = deliverAt
        self.requiresSubscriber = requiresSubscriber
        self.attempts = attempts
        self.holds = holds
        self.isProbe = isProbe
    }

    /// Clamps a stored number of attempts to 0 through 10,000.
    package static func count(_ stored: Int64) -> Int { Int(max(0, min(stored, 10_000))) }

    /// Returns the delay to request from the broker if the event is published at `time`.
    ///
    /// It never exceeds the delay that the event had when it was stored. If it would, the clock has been set back
    /// since.
    package func delay(at time: EventTime) -> Duration {
        guard let deliverAt else { return .zero }
        return max(.zero, min(deliverAt.since(time), deliverAt.since(storedAt)))
    }
}
