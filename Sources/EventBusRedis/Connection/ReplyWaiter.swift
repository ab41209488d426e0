/// The task that waits for a value of the connection's: told once, or first sent to fetch a handler of cancellation.
///
/// Such a handler costs as much as sending a command does, and a healthy server answers before anyone could be
/// cancelled. So a task begins to wait without one, and is sent for it only when it has waited for a while.
///
struct ReplyWaiter<Value: Sendable> {
    private enum State {
        /// Waits without a handler; resumed with `nil` to fetch one.
        case beginner(UnsafeContinuation<Value?, any Error>)
        case away
        /// What came while it was away.
        case late(Result<Value, any Error>)
        case patient(UnsafeContinuation<Value, any Error>)
        /// No task: a closure.
        case observer(@Sendable (Result<Value, any Error>) -> Void)
        case gone
    }

    private var state: State

    /// Nobody waits.
    static var nobody: ReplyWaiter { ReplyWaiter(state: .gone) }

    /// A task that fetches a handler first, and then comes back.
    static var away: ReplyWaiter { ReplyWaiter(state: .away) }

    /// A task that is to be told, and not to be sent away.
    static func patient(_ continuation: UnsafeContinuation<Value, any Error>) -> ReplyWaiter {
        ReplyWaiter(state: .patient(continuation))
    }

    /// A closure that is to be told. It has to be brief.
    static func observer(_ body: @escaping @Sendable (Result<Value, any Error>) -> Void) -> ReplyWaiter {
        ReplyWaiter(state: .observer(body))
    }

    /// A task that is resumed with `nil` if it has to fetch a handler, and then comes back.
    static func beginner(_ continuation: UnsafeContinuation<Value?, any Error>) -> ReplyWaiter {
        ReplyWaiter(state: .beginner(continuation))
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

    /// Sends the task to fetch a handler of cancellation, unless it has one or needs none.
    mutating func sendForHandler() {
        guard case .beginner(let continuation) = state else { return }
        state = .away
        continuation.resume(returning: nil)
    }

    /// The task is back.
    mutating func comeBack(_ continuation: UnsafeContinuation<Value, any Error>) {
        switch state {
        case .away: state = .patient(continuation)
        case .late(let result):
            state = .gone
            continuation.resume(with: result)
        case .beginner, .patient, .observer, .gone: preconditionFailure("nobody was sent away")
        }
    }
}
