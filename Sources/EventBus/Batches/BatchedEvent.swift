internal import Instrumentation

/// An event of a batch, with an outcome of its own.
///
/// ```swift
/// bus.subscribe(toBatchesOf: OrderCreated.self, group: "search", maximumCount: 100, within: .milliseconds(50)) { batch in
///     for order in batch where order.event.orderID.isEmpty { order.fail(InvalidOrder()) }
/// }
///
/// struct InvalidOrder: NonRetryable {}
/// ```
public final class BatchedEvent<E: Event>: Sendable {
    /// The decoded event.
    public let event: E
    /// The information about the delivery of the event.
    public let context: EventContext

    /// The suspension of the handler's time limit while the event waits for its batch to run.
    private let suspension = Locked<Worker.Suspension?>(nil)
    private let declared = Locked<(any Error)?>(nil)
    /// The context of the event's own task, with its trace and its correlation.
    private let serviceContext = ServiceContext.current
    /// A Boolean value indicating whether a test has created the event, which belongs to no subscription.
    private let isDetached: Bool
    /// The outcome, for the task that waits for it.
    let outcome = OneShot<Outcome>()

    /// The outcome of an event after the handler of its batch has ended.
    enum Outcome: Sendable {
        case handled
        case failed(any Error)
        /// The handler was given up or has not begun, for a reason that does not concern this event.
        case repeated
    }

    package init(_ event: E, _ context: EventContext, isDetached: Bool = false) {
        self.isDetached = isDetached
        self.event = event
        self.context = context
    }

    /// Declares that this event has failed, whether or not the handler returns. It is retried or becomes a dead letter
    /// like an event whose own handler threw `error`. The last call counts.
    public func fail(_ error: any Error) {
        declared.withLock { $0 = error }
    }

    /// The error of the last call of ``fail(_:)``.
    package var declaredError: (any Error)? { declared.withLock { $0 } }

    /// Runs `body` as if it were the handler of this event alone: what it publishes has the correlation of this event,
    /// and identities that are derived from it (``SubscriptionOptions/derivesEventIDs``).
    ///
    /// Outside of it, a batch handler publishes in the correlation of the batch's first event, with random identities.
    public func withContext<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        if isDetached { return try await context.runDetached { _ in try await body() } }
        return try await ServiceContext.$current.withValue(serviceContext) { try await body() }
    }

    /// Records that the event waits for its batch to run, which does not count towards the handler's time limit.
    func beginWait() {
        let begun = context.worker.suspendDeadline(forOthers: true)
        suspension.withLock { $0 = begun }
    }

    /// Records that the event's batch runs, or that the event does not wait any more.
    func endWait() {
        context.worker.resumeDeadline(suspension.withLock { $0.take() })
    }

    /// Returns the outcome of the event, given the error of the batch's handler.
    func outcome(after error: (any Error)?) -> Outcome {
        (declaredError ?? error).map { .failed($0) } ?? .handled
    }
}
