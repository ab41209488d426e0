import EventBus

/// Middleware that runs a closure around the handler.
struct Around: ConsumeMiddleware {
    let body: @Sendable (EventContext, ConsumeNext) async throws -> Void

    init(_ body: @escaping @Sendable (EventContext, ConsumeNext) async throws -> Void) { self.body = body }

    func consume(_ context: EventContext, next: ConsumeNext) async throws { try await body(context, next) }
}
