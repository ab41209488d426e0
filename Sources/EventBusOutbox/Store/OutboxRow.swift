package import EventBus

/// An event as an outbox stores it.
package struct OutboxRow: Sendable {
    package var envelope: Envelope
    package var storedAt: EventTime
    /// The time at which subscribers are to receive the event, or `nil` for immediately.
    package var deliverAt: EventTime?
    /// The earliest time at which the broker can take the event, or `nil` for now.
    package var readyAt: EventTime?
    package var requiresSubscriber: Bool

    /// Creates the row of an event that is stored at `now`, with the trace of the calling code.
    ///
    /// - Throws: `EventBusError`: `.invalidEnvelope`; `.unsupported` for the options `expiration` and `priority`.
    package init(_ envelope: Envelope, options: PublishOptions, maximumDelay: Duration, now: EventTime) throws {
        guard options.expiration == nil, options.priority == nil else {
            throw EventBusError(.unsupported, "the outbox stores no expiration and no priority of an event")
        }
        var envelope = envelope
        TracingMiddleware().injectTrace(in: &envelope)
        try envelope.validate()
        self.envelope = envelope
        storedAt = now
        deliverAt = options.delay > .zero ? now + options.delay : nil
        readyAt = options.delay > maximumDelay ? now + (options.delay - maximumDelay) : nil
        requiresSubscriber = options.requiresSubscriber
    }
}
