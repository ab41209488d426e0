import Synchronization

/// Cancels the workers whose deadline has passed: one task for the whole bus, asleep while nothing has a deadline.
final class HandlerWatchdog: Sendable {
    private struct State {
        var workers: [ObjectIdentifier: Worker] = [:]
        /// Raised to end the present sleep because an earlier deadline came up.
        var rearm = Signal()
        /// The earliest deadline that came up since the last look.
        var expected = Int64.max
    }

    let clock: AnyClock
    private let state = Locked(State())
    /// When the watchdog will look next, in nanoseconds of the clock.
    private let nextLook = Atomic<Int64>(.max)

    init(clock: AnyClock) {
        self.clock = clock
    }

    /// The present time in nanoseconds of the clock, never zero.
    var now: Int64 { clock.now.offset.inNanoseconds + 1 }

    func add(_ worker: Worker) {
        state.withLock { $0.workers[ObjectIdentifier(worker)] = worker }
    }

    func remove(_ worker: Worker) {
        _ = state.withLock { $0.workers.removeValue(forKey: ObjectIdentifier(worker)) }
    }

    /// Notes a new deadline; wakes the watchdog only if it would look too late.
    func expect(_ deadline: Int64) {
        guard deadline < nextLook.load(ordering: .sequentiallyConsistent) else { return }
        let rearm = state.withLock { state in
            state.expected = min(state.expected, deadline)
            nextLook.store(min(deadline, nextLook.load(ordering: .relaxed)), ordering: .sequentiallyConsistent)
            return state.rearm
        }
        rearm.raise()
    }

    /// Looks after the workers until the task is cancelled.
    ///
    /// It looks when the earliest deadline it knows of has passed, even if that handler has ended since: so a busy bus
    /// wakes it once in a handler's time limit, not once for each event, and an idle one not at all.
    func run() async {
        while !Task.isCancelled {
            // Whoever sets a deadline from here on is not overlooked: it is below `max`, so it is noted in `expected`.
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

    /// Sleeps until `deadline` in nanoseconds of the clock (`max` for ever), or until `signal`.
    private func sleep(until deadline: Int64, or signal: Signal) async {
        if deadline == .max {
            try? await signal.wait()
        } else {
            // Deadlines are one nanosecond late, as `now` is.
            let instant = AnyClock.Instant(offset: .nanoseconds(deadline - 1))
            _ = try? await withDeadline(instant, clock: clock) { try await signal.wait() }
        }
    }

    /// Cancels what is due and returns the earliest deadline that is not.
    private func scan() -> Int64? {
        let now = now
        let workers = state.withLock { Array($0.workers.values) }
        return workers.compactMap { $0.expire(at: now) }.min()
    }
}
