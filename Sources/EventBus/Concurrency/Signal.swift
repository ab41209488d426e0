/// An event that happens once and that many tasks can wait for.
package final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Locked(State())

    package init() {}

    /// A Boolean value indicating whether the signal has been raised.
    package var isRaised: Bool { state.withLock { $0.isRaised } }

    /// Raises the signal and resumes every waiter. Later calls have no effect.
    package func raise() {
        let waiters = state.withLock { state in
            state.isRaised = true
            let waiters = state.waiters
            state.waiters = [:]
            return waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Waits until the signal is raised.
    ///
    /// - Throws: `CancellationError` if the task is cancelled first.
    package func wait() async throws {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRaised || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
        // Checked under the lock, so that a waiter sees everything that happened before the signal was raised.
        if !isRaised { throw CancellationError() }
    }
}
