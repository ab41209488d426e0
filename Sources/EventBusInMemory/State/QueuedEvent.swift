import EventBus

/// An event in one queue, not yet at a consumer.
struct QueuedEvent: Sendable {
    var envelope: Envelope
    /// Where in its queue the event stands: what was queued earlier has the lower position. It keeps the position when
    /// it comes back from a consumer and gets a new one when it is retried.
    var position: Int = 0
    var attempt: Int = 1
    var redeliveries: Int = 0
    /// What few events have.
    var extras: EventExtras?
}

/// What few events have, apart so that the many stay small.
final class EventExtras: Sendable {
    let replyAddress: ReplyAddress?
    /// When the first attempt failed.
    let firstFailure: EventTime?
    /// How long the event has been deferred since its last attempt.
    let deferredFor: Duration

    init(
        replyAddress: ReplyAddress? = nil,
        firstFailure: EventTime? = nil,
        deferredFor: Duration = .zero
    ) {
        self.replyAddress = replyAddress
        self.firstFailure = firstFailure
        self.deferredFor = deferredFor
    }
}

/// An event that came back from a consumer, ordered by its position.
struct ReturnedEvent: Comparable, Sendable {
    var event: QueuedEvent

    static func < (lhs: ReturnedEvent, rhs: ReturnedEvent) -> Bool { lhs.event.position < rhs.event.position }
    static func == (lhs: ReturnedEvent, rhs: ReturnedEvent) -> Bool { lhs.event.position == rhs.event.position }
}
