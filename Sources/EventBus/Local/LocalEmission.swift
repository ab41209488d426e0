/// An emission whose emitter waits until every listener has handled the event.
final class LocalEmission: Sendable {
    /// The mailbox whose listener the current task runs for.
    @TaskLocal static var listening: ObjectIdentifier?

    /// The listeners that wait for others, over all emitters of the process, by their mailboxes.
    private static let waits = WaitGraph<ObjectIdentifier>()

    private struct State {
        /// The mailboxes of the asynchronous listeners that have not handled the event.
        var pending: Set<ObjectIdentifier> = []
        /// A Boolean value indicating whether every listener has received the event.
        var isDelivered = false
        var failures: [LocalListenerFailure] = []
        /// A Boolean value indicating whether the emitter has stopped waiting.
        var isAbandoned = false
    }

    private let state = Locked(State())
    private let done = Signal()
    /// The mailbox whose listener waits for this emission, if it is one.
    private let waiter = LocalEmission.listening

    /// Records that an asynchronous listener will handle the event.
    ///
    /// - Returns: `false` if its listener waits for this emission, directly or through others, and would wait for itself.
    func begin(_ mailbox: ObjectIdentifier) -> Bool {
        if let waiter, !Self.waits.add(waiter, waitingFor: [mailbox]) { return false }
        state.withLock { _ = $0.pending.insert(mailbox) }
        return true
    }

    /// Records failures of listeners.
    func add(_ failures: [LocalListenerFailure]) { state.withLock { $0.failures += failures } }

    /// Records that an asynchronous listener has handled the event.
    ///
    /// - Returns: `false` if nobody waits any more, so that the failure has to be reported.
    @discardableResult
    func end(_ mailbox: ObjectIdentifier, _ failure: LocalListenerFailure? = nil) -> Bool {
        let (wasPending, isDone, isAbandoned) = state.withLock { state in
            let wasPending = state.pending.remove(mailbox) != nil
            if let failure, !state.isAbandoned { state.failures.append(failure) }
            return (wasPending, state.isDelivered && state.pending.isEmpty, state.isAbandoned)
        }
        if wasPending, let waiter { Self.waits.remove(waiter, waitingFor: [mailbox]) }
        if isDone { done.raise() }
        return !isAbandoned
    }

    /// Waits until every listener has handled the event, or until the task is cancelled.
    ///
    /// - Returns: The failures so far.
    func wait() async -> [LocalListenerFailure] {
        let isDone = state.withLock { state in
            state.isDelivered = true
            return state.pending.isEmpty
        }
        if !isDone { try? await done.wait() }
        let (failures, rest) = state.withLock { state in
            state.isAbandoned = true
            defer { state.pending = [] }
            return (state.failures, state.pending)
        }
        if let waiter { Self.waits.remove(waiter, waitingFor: Array(rest)) }
        return failures
    }
}
