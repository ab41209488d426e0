import Synchronization

/// A counter of work in progress, which lets others wait until there is none.
final class ActivityTracker: Sendable {
    /// The number of events that mailboxes contain and listeners handle.
    let pendingEvents = Atomic<Int>(0)

    private struct State {
        var active = 0
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        /// A signal that is raised when nothing is in progress. It is created on request.
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

    /// Returns a signal for when nothing is in progress, or `nil` if nothing is.
    func idleSignal() -> Signal? {
        state.withLock { state in
            if state.active == 0 { return nil }
            let signal = state.idleSignal ?? Signal()
            state.idleSignal = signal
            return signal
        }
    }

    /// Returns when nothing is in progress, or when the task is cancelled.
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
                    // The handler below may already have run without finding anything to resume, so the state is
                    // checked again here.
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
