/// A step that every published event passes through on its way to the transport.
///
/// ```swift
/// struct TenantHeader: PublishMiddleware {
///     func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
///         var event = event
///         event.envelope.headers["tenant"] = "acme"
///         return try await next(event)
///     }
/// }
/// ```
public protocol PublishMiddleware: EventMiddleware {
    /// Handles one event. A step can change or measure it, refuse it by throwing, and call `next` to send it.
    ///
    /// Call `next` once. The events of a batch pass through in order, each up to `next`, before the batch is sent.
    func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt
}

/// An event on its way to the transport.
public struct OutgoingEvent: Sendable {
    /// The event in its wire format.
    public var envelope: Envelope
    /// The time for which the broker holds the event.
    public var delay: Duration
    /// The time for which the event may wait in a queue, or `nil` for any time. See ``PublishOptions/expiration``.
    public var expiration: Duration?
    /// The priority of the event, or `nil` for none. See ``PublishOptions/priority``.
    public var priority: UInt8?
    /// The time by which the publish must have an outcome.
    public let deadline: AnyClock.Instant

    package init(envelope: Envelope, options: TransportPublishOptions) {
        self.envelope = envelope
        self.delay = options.delay
        self.expiration = options.expiration
        self.priority = options.priority
        self.deadline = options.deadline
    }
}

/// The remaining steps of a published event, followed by the transport. Call it as a function.
///
/// It is a struct and not a closure, so that a conformance has the same signature whatever a module's default for the
/// isolation of asynchronous functions is.
public struct PublishNext: Sendable {
    private let body: @Sendable (OutgoingEvent) async throws -> PublishReceipt

    /// Creates the rest of a chain from a closure, for a test of a middleware.
    public init(_ body: @escaping @Sendable (OutgoingEvent) async throws -> PublishReceipt) {
        self.body = body
    }

    /// Sends the event and returns the outcome.
    public func callAsFunction(_ event: OutgoingEvent) async throws -> PublishReceipt {
        try await body(event)
    }
}
