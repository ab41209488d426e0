import EventBus

/// An event in one queue that is not at a consumer.
struct QueuedEvent: Sendable {
    var envelope: Envelope
    /// The position of the event in its queue, which grows with the time of queueing. The event keeps its position when
    /// it comes back from a consumer, and gets a new one when it is retried.
    var position: Int = 0
    var attempt: Int = 1
    var redeliveries: Int = 0
    /// The properties that few events have.
    var extras: EventMetadata?
}

/// The properties that few events have, stored separately to keep the other events small.
final class EventMetadata: Sendable {
    let replyAddress: ReplyAddress?
    /// The time at which the first attempt failed.
    let firstFailure: EventTime?
    /// The total deferral of the event since its last attempt.
    let deferredFor: Duration
    /// The time at which the event expires, unless a consumer has it.
    let expires: AnyClock.Instant?

    init(
        replyAddress: ReplyAddress? = nil,
        firstFailure: EventTime? = nil,
        deferredFor: Duration = .zero,
        expires: AnyClock.Instant? = nil
    ) {
        self.replyAddress = replyAddress
        self.firstFailure = firstFailure
        self.deferredFor = deferredFor
        self.expires = expires
    }
}

/// An event that came back from a consumer, ordered by its position.
struct ReturnedEvent: Comparable, Sendable {
    var event: QueuedEvent

    static func < (lhs: ReturnedEvent, rhs: ReturnedEvent) -> Bool { lhs.event.position < rhs.event.position }
    static func == (lhs: ReturnedEvent, rhs: ReturnedEvent) -> Bool { lhs.event.position == rhs.event.position }
}
