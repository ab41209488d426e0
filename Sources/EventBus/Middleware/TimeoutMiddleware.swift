/// A limit on how long a handler may take.
///
/// When it passes, the handler's task is cancelled and the attempt counts as failed with code `.timedOut`, unless the
/// handler returns normally all the same. A handler that does not heed cancellation keeps its delivery, and its place
/// among the subscription's concurrent handlers, until it returns: no delivery is ever handled twice at once by one
/// process.
public struct TimeoutMiddleware: ConsumeMiddleware {
    /// How long a handler may take.
    public let limit: Duration

    /// Creates a limit of `limit`.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration` if `limit` is not above zero.
    public init(_ limit: Duration) throws(EventBusError) {
        guard limit > .zero else {
            throw EventBusError(
                .invalidConfiguration,
                "a timeout of \(limit) leaves no time to handle anything: give one above zero"
            )
        }
        self.limit = limit
    }

    /// Runs the handler under the limit.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        let previous = context.worker.arm(limit)
        defer { context.worker.disarm(restoring: previous) }
        do {
            try await next(context)
        } catch {
            throw context.worker.timeoutError(limit: limit, underlying: error) ?? error
        }
    }
}
