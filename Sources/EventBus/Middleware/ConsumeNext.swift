/// The remaining steps of a delivery, followed by its handler. Call it as a function. It may be passed to child tasks.
///
/// A test of a middleware creates one from a closure:
///
/// ```swift
/// try await TenantFilter().consume(context, next: ConsumeNext { _ in print("handled") })
/// ```
public struct ConsumeNext: Sendable {
    private let body: @Sendable (EventContext) async throws -> Void

    /// Creates the rest of a chain from a closure.
    public init(_ body: @escaping @Sendable (EventContext) async throws -> Void) {
        self.body = body
    }

    /// Proceeds to the handler. Returns when the handler has returned, and throws its error.
    public func callAsFunction(_ context: EventContext) async throws {
        try await body(context)
    }
}
