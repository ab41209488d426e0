import Synchronization

/// One of a subscription's loops that handle deliveries, as seen by the watchdog.
///
/// Instead of a timer for each event, a worker stores the deadline of its current delivery in one atomic number. One
/// watchdog for the whole bus checks these numbers when the earliest deadline may have passed.
package final class Worker: Sendable {
    /// The value for a worker without a deadline. Other values are deadlines in nanoseconds of the bus's clock, except
    /// for the following one.
    private static let idle: Int64 = 0
    private static let expired: Int64 = -1

    private struct Execution {
        var task: Task<Void, Never>?
        var isCancelled = false
        /// A Boolean value indicating whether a cancellation waits until the current step has ended.
        var isShielded = false
    }

    /// A time limit that was replaced by a shorter one.
    package struct ReplacedLimit: Sendable {
        /// Its deadline at the time of the replacement.
        fileprivate let deadline: Int64
        /// The total suspended time before.
        fileprivate let suspended: Int64
    }

    /// A wait that is not part of any time limit.
    struct Suspension: Sendable {
        fileprivate let deadline: Int64
        fileprivate let start: Int64
    }

    private let deadline = Atomic<Int64>(idle)
    /// The total time for which limits were suspended, in nanoseconds.
    private let suspended = Atomic<Int64>(0)
    private let waiting = Atomic(false)
    private let abandoned = Atomic(false)
    private let finishing = Atomic(false)
    private let execution = Locked(Execution())
    private let watchdog: HandlerWatchdog
    let currentAttempt = CurrentAttempt()
    private let recording = Locked<String?>(nil)
    private let queue: DeliveryQueue

    init(watchdog: HandlerWatchdog, queue: DeliveryQueue) {
        self.watchdog = watchdog
        self.queue = queue
    }

    /// The clock of the bus.
    var clock: AnyClock { watchdog.clock }

    /// Returns a Boolean value indicating whether the connection of the worker's delivery is gone.
    func isRevoked(_ delivery: Delivery) -> Bool { queue.isRevoked(delivery) }

    /// A Boolean value indicating whether the watchdog has cancelled this worker.
    package var isExpired: Bool { deadline.load(ordering: .acquiring) == Self.expired }

    /// A Boolean value indicating whether nothing waits for the worker any more, because it ignores its cancellation.
    var isAbandoned: Bool {
        get { abandoned.load(ordering: .relaxed) }
        set { abandoned.store(newValue, ordering: .relaxed) }
    }

    /// A Boolean value indicating whether its handler was cancelled and has not ended in time.
    var isOverdue: Bool { isExpired || isAbandoned }

    /// A Boolean value indicating whether no handler runs any more, but the inbox makes the last calls about its event.
    var isFinishing: Bool {
        get { finishing.load(ordering: .relaxed) }
        set { finishing.store(newValue, ordering: .relaxed) }
    }

    /// A Boolean value indicating whether its handler has ended and the rest takes a bounded time.
    var isEnding: Bool { isFinishing || execution.withLock { $0.isShielded } }

    /// A Boolean value indicating whether the worker's event waits for other handlers before its own runs.
    var isWaiting: Bool { waiting.load(ordering: .relaxed) }

    /// A signal that is raised when the channel of the worker's queue has to be reopened.
    var reopening: Signal { queue.reopening }

    /// Revokes a delivery, as its transport does when the connection is gone.
    func revoke(_ delivery: Delivery) { queue.revoke(through: delivery.token.generation) }

    /// The error of the inbox that keeps an effect from being recorded while the worker tries again, or `nil`.
    var recordError: String? {
        get { recording.withLock { $0 } }
        set { recording.withLock { $0 = newValue } }
    }

    /// Sets the task that runs the worker. It is cancelled immediately if the worker was cancelled before.
    func adopt(_ adopted: Task<Void, Never>) {
        let isCancelled = execution.withLock { execution in
            execution.task = adopted
            return execution.isCancelled && !execution.isShielded
        }
        if isCancelled { adopted.cancel() }
    }

    /// Cancels the worker's current step.
    func cancel() {
        let running = execution.withLock { execution in
            execution.isCancelled = true
            return execution.isShielded ? nil : execution.task
        }
        running?.cancel()
    }

    /// Runs a step shielded from a cancellation that arrives meanwhile, which takes effect after the step.
    ///
    /// Unlike ``withoutCancellation(_:)`` it needs no task, but it shields only from the worker's own cancellation.
    func shielded<Result>(_ step: () async throws -> Result) async rethrows -> Result {
        execution.withLock { $0.isShielded = true }
        defer {
            let cancelled = execution.withLock { execution in
                execution.isShielded = false
                return execution.isCancelled ? execution.task : nil
            }
            cancelled?.cancel()
        }
        return try await step()
    }

    /// Sets a deadline `limit` from now, unless an earlier one is set. Returns the previous limit.
    package func arm(_ limit: Duration) -> ReplacedLimit {
        ReplacedLimit(deadline: replaceDeadline(by: limit), suspended: suspended.load(ordering: .relaxed))
    }

    private func replaceDeadline(by limit: Duration) -> Int64 {
        let previous = deadline.load(ordering: .relaxed)
        if previous == Self.expired { return previous }
        let wanted = watchdog.now + limit.inNanoseconds
        if previous == Self.idle || wanted < previous {
            // The watchdog may expire the previous deadline at this very moment. Then that one is kept. Sequential
            // consistency with the watchdog's next check ensures that either it sees this deadline, or `expect` sees
            // that it has to be woken.
            guard
                deadline.compareExchange(expected: previous, desired: wanted, ordering: .sequentiallyConsistent)
                    .exchanged
            else { return Self.expired }
            watchdog.expect(wanted)
        }
        return previous
    }

    /// Restores the previous limit, unless the current one has passed. Suspensions since the replacement extend it.
    package func disarm(restoring previous: ReplacedLimit) {
        let current = deadline.load(ordering: .relaxed)
        guard current != Self.expired, previous.deadline != Self.expired else { return }
        var restored = previous.deadline
        if restored != Self.idle { restored += suspended.load(ordering: .relaxed) - previous.suspended }
        _ = deadline.compareExchange(expected: current, desired: restored, ordering: .acquiringAndReleasing)
    }

    /// Removes the deadline for the duration of a wait, which extends all limits that are set.
    ///
    /// - Parameter forOthers: `true` if the event waits for other handlers.
    /// - Returns: The suspension to end with ``resumeDeadline(_:)``, or `nil` if there is no deadline or it has passed.
    func suspendDeadline(forOthers: Bool) -> Suspension? {
        if forOthers { waiting.store(true, ordering: .relaxed) }
        let current = deadline.load(ordering: .relaxed)
        guard current > Self.idle,
            deadline.compareExchange(expected: current, desired: Self.idle, ordering: .acquiringAndReleasing).exchanged
        else { return nil }
        return Suspension(deadline: current, start: watchdog.now)
    }

    /// Ends a wait, and sets the deadline again, later by the duration of the wait.
    func resumeDeadline(_ suspension: Suspension?) {
        waiting.store(false, ordering: .relaxed)
        guard let suspension else { return }
        let duration = watchdog.now - suspension.start
        suspended.add(duration, ordering: .relaxed)
        let resumed = suspension.deadline + duration
        // Sequentially consistent for the same reason as in `arm(_:)`.
        deadline.store(resumed, ordering: .sequentiallyConsistent)
        watchdog.expect(resumed)
    }

    /// Returns the error for a handler that was cancelled at its limit, or `nil` if this one was not.
    package func timeoutError(limit: Duration, underlying: any Error) -> EventBusError? {
        timeoutError(than: "its limit of \(limit)", underlying: underlying)
    }

    /// Returns the error for a handler that was cancelled at its limit, or `nil` if this one was not.
    ///
    /// - Parameter limit: A description of the limit.
    func timeoutError(than limit: @autoclosure () -> String, underlying: any Error) -> EventBusError? {
        // Errors that already decide the event's fate take precedence over the timeout.
        if underlying is any NonRetryable { return nil }
        if let error = underlying as? EventBusError, error.code == .decodingFailed { return nil }
        guard isExpired else { return nil }
        return EventBusError(.timedOut, "the handler took longer than \(limit())", underlying: underlying)
    }

    /// Cancels the worker if its deadline has passed. Otherwise returns its deadline, or `nil` if it has none.
    func expire(at now: Int64) -> Int64? {
        let current = deadline.load(ordering: .sequentiallyConsistent)
        guard current > Self.idle else { return nil }
        guard current <= now else { return current }
        if deadline.compareExchange(expected: current, desired: Self.expired, ordering: .acquiringAndReleasing)
            .exchanged
        {
            cancel()
            queue.noteExpiry(of: self)
            currentAttempt.reportTimeout()
        }
        return nil
    }
}

extension Duration {
    /// The longest duration that is distinguished from infinity: 126 years. Twice that in nanoseconds still fits an
    /// `Int64`.
    package static var longest: Duration { .seconds(4_000_000_000) }

    /// The duration, clamped to ``longest`` in either direction. Sums of two such durations never overflow, and their
    /// parts fit an `Int64`.
    package var clampedToLongest: Duration { min(max(self, .zero - .longest), .longest) }

    /// The duration in whole nanoseconds, clamped to ``longest`` in either direction. The sum of two never overflows.
    package var inNanoseconds: Int64 {
        let (seconds, attoseconds) = clampedToLongest.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
