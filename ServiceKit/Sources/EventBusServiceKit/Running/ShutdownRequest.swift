import Synchronization

/// A request to end a run, which may be made before there is anything to end.
final class ShutdownRequest: Sendable {
    private struct State {
        var isRequested = false
        var action: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// A Boolean value indicating whether the end was requested.
    var isRequested: Bool { state.withLock { $0.isRequested } }

    /// Requests the end.
    func request() {
        let action = state.withLock { state in
            state.isRequested = true
            return state.action
        }
        action?()
    }

    /// Sets the action that ends the run. It is performed immediately if the end was already requested.
    func onRequest(_ action: @escaping @Sendable () -> Void) {
        let isRequested = state.withLock { state in
            state.action = action
            return state.isRequested
        }
        if isRequested { action() }
    }
}
