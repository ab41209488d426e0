import EventBus

/// A value that one task waits for and another gives, once; the first value counts.
final class OneShot<Value: Sendable>: Sendable {
    private enum State: Sendable {
        case empty
        case waiting(CheckedContinuation<Value, Never>)
        case full(Value)
    }

    private let state = Locked<State>(.empty)

    /// Gives the value. Never call it while holding a lock: it resumes the waiting task.
    func resolve(_ value: Value) {
        let continuation: CheckedContinuation<Value, Never>? = state.withLock { state in
            switch state {
            case .empty:
                state = .full(value)
                return nil
            case .waiting(let continuation):
                state = .full(value)
                return continuation
            case .full:
                return nil
            }
        }
        continuation?.resume(returning: value)
    }

    /// Waits for the value, which one task may do. `onCancel` has to see to it that a value comes.
    func wait(onCancel: @Sendable () -> Void) async -> Value {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let value: Value? = state.withLock { state in
                    if case .full(let value) = state { return value }
                    state = .waiting(continuation)
                    return nil
                }
                if let value { continuation.resume(returning: value) }
            }
        } onCancel: {
            onCancel()
        }
    }
}
