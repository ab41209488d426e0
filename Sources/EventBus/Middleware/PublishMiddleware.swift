/// A step that every published event passes through on its way to the transport.
public protocol PublishMiddleware: EventMiddleware {
    /// Handles one event: change it, measure it, refuse it by throwing, and call `next` to send it on.
    ///
    /// Call `next` once. In a batch the events of one call pass through in order, each up to `next`, before the batch
    /// is sent.
    func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt
}

/// An event on its way to the transport.
public struct OutgoingEvent: Sendable {
    /// The event as it will go over the wire.
    public var envelope: Envelope
    /// How long the broker is to hold it.
    public var delay: Duration
    /// By when its publishing has to have an outcome.
    public let deadline: AnyClock.Instant

    package init(envelope: Envelope, delay: Duration, deadline: AnyClock.Instant) {
        self.envelope = envelope
        self.delay = delay
        self.deadline = deadline
    }
}

/// The rest of the way of a published event: call it as a function.
///
/// A type of its own and no closure, so that a conformance reads the same whatever a module says about the isolation of
/// its asynchronous functions.
public struct PublishNext: Sendable {
    private let body: @Sendable (OutgoingEvent) async throws -> PublishReceipt

    package init(_ body: @escaping @Sendable (OutgoingEvent) async throws -> PublishReceipt) {
        self.body = body
    }

    /// Sends the event on its way and returns what became of it.
    public func callAsFunction(_ event: OutgoingEvent) async throws -> PublishReceipt {
        try await body(event)
    }
}
