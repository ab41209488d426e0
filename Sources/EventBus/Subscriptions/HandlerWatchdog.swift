import Synchronization

/// The watchdog that cancels workers whose deadline has passed. It has one task for the whole bus, which sleeps while
/// there is no deadline.
final class HandlerWatchdog: Sendable {
    private struct State {
        var workers: [ObjectIdentifier: Worker] = [:]
        /// A signal that ends the current sleep because of an earlier deadline.
        var rearm = Signal()
        /// The earliest deadline that was set since the last check.
        var expected = Int64.max
    }

    let clock: AnyClock
    private let state = Locked(State())
    /// The time of the watchdog's next check, in nanoseconds of the clock.
    private let nextLook = Atomic<Int64>(.max)

    init(clock: AnyClock) {
        self.clock = clock
    }

    /// The current time in nanoseconds of the clock, which is never zero.
    var now: Int64 { clock.now.offset.inNanoseconds + 1 }

    func add(_ worker: Worker) {
        state.withLock { $0.workers[ObjectIdentifier(worker)] = worker }
    }

    func remove(_ worker: Worker) {
        _ = state.withLock { $0.workers.removeValue(forKey: ObjectIdentifier(worker)) }
    }

    /// Records a new deadline. Wakes the watchdog only if it would otherwise check too late.
    func expect(_ deadline: Int64) {
        guard deadline < nextLook.load(ordering: .sequentiallyConsistent) else { return }
        let rearm = state.withLock { state in
            state.expected = min(state.expected, deadline)
            nextLook.store(min(deadline, nextLook.load(ordering: .relaxed)), ordering: .sequentiallyConsistent)
            return state.rearm
        }
        rearm.raise()
    }

    /// Watches the workers until the task is cancelled.
    ///
    /// It checks them when the earliest known deadline has passed, even if that handler has already ended. A busy bus
    /// therefore wakes it once per time limit of a handler, not once per event, and an idle bus never wakes it.
    func run() async {
        while !Task.isCancelled {
            // A deadline that is set from here on is not missed: it is below `max`, so it is recorded in `expected`.
            state.withLock { state in
                state.expected = .max
                nextLook.store(.max, ordering: .sequentiallyConsistent)
            }
            if let earliest = scan() { expect(earliest) }
            while !Task.isCancelled {
                let (expected, rearm) = state.withLock { state in
                    if state.rearm.isRaised { state.rearm = Signal() }
                    return (state.expected, state.rearm)
                }
                guard expected > now else { break }
                await sleep(until: expected, or: rearm)
            }
        }
    }

    /// Sleeps until `deadline` in nanoseconds of the clock (`max` means indefinitely), or until `signal` is raised.
    private func sleep(until deadline: Int64, or signal: Signal) async {
        if deadline == .max {
            try? await signal.wait()
        } else {
            // Deadlines are one nanosecond late, as `now` is.
            let instant = AnyClock.Instant(offset: .nanoseconds(deadline - 1))
            _ = try? await withDeadline(instant, clock: clock) { try await signal.wait() }
        }
    }

    /// Cancels the workers that are due, and returns the earliest deadline that is not due.
    private func scan() -> Int64? {
        let now = now
        let workers = state.withLock { Array($0.workers.values) }
        return workers.compactMap { $0.expire(at: now) }.min()
    }
}
