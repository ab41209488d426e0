/// A value that one task waits for and another one provides. The first value counts.
///
/// The value is stored here and the waiting task is only woken, so the value crosses threads under the lock.
package final class OneShot<Value: Sendable>: Sendable {
    private struct State: Sendable {
        var value: Value?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Locked(State())

    package init() {}

    /// Provides the value. Never call it while holding a lock, because it resumes the waiting task.
    package func resolve(_ value: Value) {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits for the value. Only one task may wait. `onCancel` must ensure that a value is provided.
    package func wait(onCancel: @Sendable () -> Void) async -> Value {
        await withTaskCancellationHandler {
            while true {
                if let value = state.withLock({ $0.value }) { return value }
                await withCheckedContinuation { continuation in
                    let isResolved = state.withLock { state in
                        if state.value == nil { state.waiter = continuation }
                        return state.value != nil
                    }
                    if isResolved { continuation.resume() }
                }
            }
        } onCancel: {
            onCancel()
        }
    }
}
