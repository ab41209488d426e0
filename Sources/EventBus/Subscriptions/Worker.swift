import Synchronization

/// One of a subscription's loops that handle deliveries, as the watchdog sees it.
///
/// Instead of a timer for each event, a worker keeps the deadline of what it handles in one atomic number, and one
/// watchdog for the whole bus looks at those numbers when the earliest may have passed.
package final class Worker: Sendable {
    /// Deadlines in nanoseconds of the bus's clock; these two values are none.
    private static let idle: Int64 = 0
    private static let expired: Int64 = -1

    private struct Execution {
        var task: Task<Void, Never>?
        var isCancelled = false
        /// Whether a cancellation waits until the present step has ended.
        var isShielded = false
    }

    private let deadline = Atomic<Int64>(idle)
    private let execution = Locked(Execution())
    private let watchdog: HandlerWatchdog
    let currentAttempt = CurrentAttempt()
    private let queue: DeliveryQueue

    init(watchdog: HandlerWatchdog, queue: DeliveryQueue) {
        self.watchdog = watchdog
        self.queue = queue
    }

    /// The clock of the bus.
    var clock: AnyClock { watchdog.clock }

    /// Whether the connection of a delivery that the worker took is gone.
    func isRevoked(_ delivery: Delivery) -> Bool { queue.isRevoked(delivery) }

    /// Whether the watchdog has cancelled this worker.
    package var isExpired: Bool { deadline.load(ordering: .acquiring) == Self.expired }

    /// Says which task runs the worker; it is cancelled at once if the worker was cancelled before.
    func adopt(_ adopted: Task<Void, Never>) {
        let isCancelled = execution.withLock { execution in
            execution.task = adopted
            return execution.isCancelled && !execution.isShielded
        }
        if isCancelled { adopted.cancel() }
    }

    /// Cancels whatever the worker is doing.
    func cancel() {
        let running = execution.withLock { execution in
            execution.isCancelled = true
            return execution.isShielded ? nil : execution.task
        }
        running?.cancel()
    }

    /// Runs a step that a cancellation which arrives meanwhile does not reach: it takes effect after the step.
    ///
    /// It costs no task, unlike ``withoutCancellation(_:)``, but shields only from the worker's own cancellation.
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

    /// Sets a deadline `limit` from now, unless an earlier one is set; returns the one that was set.
    package func arm(_ limit: Duration) -> Int64 {
        let previous = deadline.load(ordering: .relaxed)
        if previous == Self.expired { return previous }
        let wanted = watchdog.now + limit.inNanoseconds
        if previous == Self.idle || wanted < previous {
            // The watchdog may expire the previous deadline at this very moment: then that stays. In one order with the
            // watchdog's next look: either it sees this deadline, or `expect` sees that it has to be told.
            guard
                deadline.compareExchange(expected: previous, desired: wanted, ordering: .sequentiallyConsistent)
                    .exchanged
            else { return Self.expired }
            watchdog.expect(wanted)
        }
        return previous
    }

    /// Takes the deadline back, unless it has passed.
    package func disarm(restoring previous: Int64) {
        let current = deadline.load(ordering: .relaxed)
        guard current != Self.expired, previous != Self.expired else { return }
        _ = deadline.compareExchange(expected: current, desired: previous, ordering: .acquiringAndReleasing)
    }

    /// Takes the deadline away, unless it has passed: the handler has returned.
    func disarm() {
        disarm(restoring: Self.idle)
    }

    /// The error of a handler that was cancelled at its limit; `nil` if this one was not.
    package func timeoutError(limit: Duration, underlying: any Error) -> EventBusError? {
        // What says itself what is to become of the event keeps its say.
        if underlying is any NonRetryable { return nil }
        if let error = underlying as? EventBusError, error.code == .decodingFailed { return nil }
        guard isExpired else { return nil }
        return EventBusError(.timedOut, "the handler took longer than its limit of \(limit)", underlying: underlying)
    }

    /// Cancels the worker if its deadline has passed; returns its deadline otherwise, `nil` for none.
    func expire(at now: Int64) -> Int64? {
        let current = deadline.load(ordering: .sequentiallyConsistent)
        guard current > Self.idle else { return nil }
        guard current <= now else { return current }
        if deadline.compareExchange(expected: current, desired: Self.expired, ordering: .acquiringAndReleasing)
            .exchanged
        {
            cancel()
            currentAttempt.reportTimeout()
        }
        return nil
    }
}

extension Duration {
    /// The longest time that is told from forever: 126 years, twice which in nanoseconds still fits an `Int64`.
    package static var longest: Duration { .seconds(4_000_000_000) }

    /// The duration, at most ``longest`` either way: sums of such never overflow, and their parts fit an `Int64`.
    package var clampedToLongest: Duration { min(max(self, .zero - .longest), .longest) }

    /// The duration in whole nanoseconds, at most that of ``longest`` either way: the sum of two never overflows.
    package var inNanoseconds: Int64 {
        let (seconds, attoseconds) = clampedToLongest.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
