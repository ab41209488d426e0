/// Something that happens once and that many can wait for.
package final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Locked(State())

    package init() {}

    /// Whether it has happened.
    package var isRaised: Bool { state.withLock { $0.isRaised } }

    /// Lets it happen; every waiter goes on. Later calls do nothing.
    package func raise() {
        let waiters = state.withLock { state in
            state.isRaised = true
            let waiters = state.waiters
            state.waiters = [:]
            return waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Waits until it happens.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
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
        // Asked under the lock: who waited sees what was done before it was raised.
        if !isRaised { throw CancellationError() }
    }
}
