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
