/// A limit on the duration of a handler.
///
/// ```swift
/// var configuration = EventBusConfiguration()
/// configuration.consumeMiddleware.append(try TimeoutMiddleware(.seconds(30)))
/// ```
///
/// The middleware cancels the task of a handler that exceeds the limit. The attempt then fails with code `.timedOut`,
/// unless the handler returns normally. A handler that ignores cancellation keeps its delivery and counts as one
/// of the subscription's concurrent handlers until it returns. After ``EventBusConfiguration/cancellationGrace`` nothing
/// but the next event of its key waits for it.
public struct TimeoutMiddleware: ConsumeMiddleware {
    /// The maximum duration of a handler.
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
