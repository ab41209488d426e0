/// A task that waits for a value of the connection.
///
/// A cancellation handler costs as much as sending a command, and a healthy server usually answers before a
/// cancellation. So a task starts to wait without a handler. Only if it has waited for a while, it is resumed without a
/// value, installs a handler, and waits again.
struct ReplyContinuation<Value: Sendable> {
    private enum State {
        /// A task that waits without a handler. Resuming it with `nil` makes it install one.
        case beginner(UnsafeContinuation<Value?, any Error>)
        case away
        /// The result that arrived while the task installed its handler.
        case late(Result<Value, any Error>)
        case patient(UnsafeContinuation<Value, any Error>)
        /// A closure instead of a task.
        case observer(@Sendable (Result<Value, any Error>) -> Void)
        case gone
    }

    private var state: State

    /// The waiter of a command whose result nobody needs.
    static var nobody: ReplyContinuation { ReplyContinuation(state: .gone) }

    /// A task that first installs a handler and then waits.
    static var away: ReplyContinuation { ReplyContinuation(state: .away) }

    /// Returns a task that only gets the result, and is never asked to install a handler.
    static func patient(_ continuation: UnsafeContinuation<Value, any Error>) -> ReplyContinuation {
        ReplyContinuation(state: .patient(continuation))
    }

    /// Returns a waiter that passes the result to `body`, which must be brief.
    static func observer(_ body: @escaping @Sendable (Result<Value, any Error>) -> Void) -> ReplyContinuation {
        ReplyContinuation(state: .observer(body))
    }

    /// Returns a task that is resumed with `nil` if it has to install a handler, and then waits again.
    static func beginner(_ continuation: UnsafeContinuation<Value?, any Error>) -> ReplyContinuation {
        ReplyContinuation(state: .beginner(continuation))
    }

    mutating func resume(_ result: consuming Result<Value, any Error>) {
        switch state {
        case .beginner(let continuation):
            state = .gone
            switch result {
            case .success(let value): continuation.resume(returning: value)
            case .failure(let error): continuation.resume(throwing: error)
            }
        case .patient(let continuation):
            state = .gone
            continuation.resume(with: result)
        case .observer(let body):
            state = .gone
            body(result)
        case .away: state = .late(result)
        case .late, .gone: break
        }
    }

    /// Asks the task to install a cancellation handler, unless it has one or needs none.
    mutating func installCancellationHandler() {
        guard case .beginner(let continuation) = state else { return }
        state = .away
        continuation.resume(returning: nil)
    }

    /// Registers the task that waits again.
    mutating func register(_ continuation: UnsafeContinuation<Value, any Error>) {
        switch state {
        case .away: state = .patient(continuation)
        case .late(let result):
            state = .gone
            continuation.resume(with: result)
        case .beginner, .patient, .observer, .gone: preconditionFailure("nobody was sent away")
        }
    }
}
