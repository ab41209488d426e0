import Synchronization

/// Counts what is under way, and lets others wait until nothing is.
final class ActivityTracker: Sendable {
    /// The events that mailboxes hold and listeners handle.
    let pendingEvents = Atomic<Int>(0)

    private struct State {
        var active = 0
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        /// Raised when nothing is under way; made when someone asks for it.
        var idleSignal: Signal?
    }

    private let state = Locked(State())

    func begin() {
        state.withLock { $0.active += 1 }
    }

    func end() {
        let (waiters, idleSignal) = state.withLock { state -> ([CheckedContinuation<Void, Never>], Signal?) in
            state.active -= 1
            if state.active > 0 { return ([], nil) }
            defer {
                state.waiters = [:]
                state.idleSignal = nil
            }
            return (Array(state.waiters.values), state.idleSignal)
        }
        for waiter in waiters { waiter.resume() }
        idleSignal?.raise()
    }

    /// A signal for when nothing is under way; `nil` if nothing is.
    func idleSignal() -> Signal? {
        state.withLock { state in
            if state.active == 0 { return nil }
            let signal = state.idleSignal ?? Signal()
            state.idleSignal = signal
            return signal
        }
    }

    /// Returns when nothing is under way, or when the task is cancelled.
    func idle() async {
        let ticket = state.withLock { state -> Int? in
            if state.active == 0 { return nil }
            state.nextWaiter += 1
            return state.nextWaiter
        }
        guard let ticket else { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state -> Bool in
                    // The handler below may have run already; it sees nothing to resume, so this has to look.
                    if state.active == 0 || Task.isCancelled { return true }
                    state.waiters[ticket] = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume()
        }
    }
}
