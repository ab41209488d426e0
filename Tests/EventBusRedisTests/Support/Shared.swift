import EventBus

/// A value that tasks of a test share.
final class Shared<State: Sendable>: Sendable {
    private let state: Locked<State>

    init(_ state: State) {
        self.state = Locked(state)
    }

    var value: State { state.withLock { $0 } }

    func change(_ body: (inout State) -> Void) {
        state.withLock { state in body(&state) }
    }
}
