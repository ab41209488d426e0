import Synchronization

/// The wish that a run ends: it may come before there is anything to end.
final class EndRequest: Sendable {
    private struct State {
        var isRequested = false
        var action: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// Whether the end has been asked for.
    var isRequested: Bool { state.withLock { $0.isRequested } }

    /// Asks for the end.
    func request() {
        let action = state.withLock { state in
            state.isRequested = true
            return state.action
        }
        action?()
    }

    /// What ends the run; done at once if the end was asked for already.
    func onRequest(_ action: @escaping @Sendable () -> Void) {
        let isRequested = state.withLock { state in
            state.action = action
            return state.isRequested
        }
        if isRequested { action() }
    }
}
