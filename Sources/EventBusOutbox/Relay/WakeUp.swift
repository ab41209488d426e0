internal import EventBus

/// A signal that wakes one waiting task, any number of times. A call while nobody waits is kept.
final class WakeUp: Sendable {
    private let signal = Locked(Signal())

    /// Wakes the waiting task, or the next one to wait.
    func call() {
        signal.withLock { $0 }.raise()
    }

    /// Waits for a call, or until `deadline`.
    ///
    /// - Returns: `true` if there was a call.
    func wait(until deadline: AnyClock.Instant, clock: AnyClock) async -> Bool {
        let current = signal.withLock { $0 }
        if !current.isRaised {
            _ = try? await withDeadline(deadline, clock: clock) { try await current.wait() }
        }
        return signal.withLock { signal in
            guard signal.isRaised else { return false }
            signal = Signal()
            return true
        }
    }
}
