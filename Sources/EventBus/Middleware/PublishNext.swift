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
