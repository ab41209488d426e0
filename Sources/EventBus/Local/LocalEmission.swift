/// An emission whose emitter waits until every listener has handled the event.
final class LocalEmission: Sendable {
    private struct State {
        /// The number of asynchronous listeners that have not handled the event, and one for the emitter.
        var pending = 1
        var failures: [LocalListenerFailure] = []
        /// A Boolean value indicating whether the emitter has stopped waiting.
        var isAbandoned = false
    }

    private let state = Locked(State())
    private let done = Signal()

    /// Records that an asynchronous listener will handle the event.
    func begin() { state.withLock { $0.pending += 1 } }

    /// Records failures of listeners.
    func add(_ failures: [LocalListenerFailure]) { state.withLock { $0.failures += failures } }

    /// Records that an asynchronous listener has handled the event.
    ///
    /// - Returns: `false` if nobody waits any more, so that the failure has to be reported.
    @discardableResult
    func end(_ failure: LocalListenerFailure? = nil) -> Bool {
        let (isDone, isAbandoned) = state.withLock { state in
            state.pending -= 1
            if let failure, !state.isAbandoned { state.failures.append(failure) }
            return (state.pending == 0, state.isAbandoned)
        }
        if isDone { done.raise() }
        return !isAbandoned
    }

    /// Waits until every listener has handled the event, or until the task is cancelled.
    ///
    /// - Returns: The failures so far.
    func wait() async -> [LocalListenerFailure] {
        end()
        try? await done.wait()
        return state.withLock { state in
            state.isAbandoned = true
            return state.failures
        }
    }
}
