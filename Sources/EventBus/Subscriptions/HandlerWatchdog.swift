import Synchronization

/// Cancels the workers whose deadline has passed: one task for the whole bus, asleep while nothing has a deadline.
final class HandlerWatchdog: Sendable {
    private struct State {
        var workers: [ObjectIdentifier: Worker] = [:]
        /// Raised to end the present sleep because an earlier deadline came up.
        var rearm: Signal?
    }

    private let clock: AnyClock
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
        state.withLock { $0.rearm }?.raise()
    }

    /// Looks after the workers until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            // In this order: whoever sets a deadline from here on either is seen by the scan or raises the signal.
            let rearm = Signal()
            state.withLock { $0.rearm = rearm }
            nextLook.store(.max, ordering: .sequentiallyConsistent)
            let next = scan()
            nextLook.store(next ?? .max, ordering: .sequentiallyConsistent)
            if let again = scan(), again < (next ?? .max) { continue }
            if let next {
                let deadline = AnyClock.Instant(offset: .nanoseconds(next))
                _ = try? await withDeadline(deadline, clock: clock) { try await rearm.wait() }
            } else {
                try? await rearm.wait()
            }
        }
    }

    /// Cancels what is due and returns the earliest deadline that is not.
    private func scan() -> Int64? {
        let now = now
        let workers = state.withLock { $0.workers.values.map(\.self) }
        return workers.compactMap { $0.expire(at: now) }.min()
    }
}
