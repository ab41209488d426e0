import ConnectionThread
import EventBus

/// Runs the one step that may block, connecting and logging in, on a thread of its own.
///
/// The connection's thread stays free for deadlines and timers. Resolving a name has no bound at all: a caller that is
/// cancelled goes on at once, and what the login comes to is thrown away by its thread.
enum LoginThread {
    typealias Outcome = Result<AMQPHandle, AMQPFailure>

    private final class Handover: Sendable {
        private struct State {
            var continuation: CheckedContinuation<Outcome, Never>?
            var early: Outcome?
        }

        private let state = Locked(State())

        func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
            let early: Outcome? = state.withLock { state in
                if state.early == nil { state.continuation = continuation }
                return state.early
            }
            if let early { continuation.resume(returning: early) }
        }

        /// Hands over an outcome; only the first counts.
        func settle(_ outcome: Outcome) {
            let continuation: CheckedContinuation<Outcome, Never>? = state.withLock { state in
                if state.early == nil { state.early = outcome }
                defer { state.continuation = nil }
                return state.continuation
            }
            continuation?.resume(returning: outcome)
        }
    }

    static func logIn(_ parameters: LoginParameters) async throws(AMQPFailure) -> AMQPHandle {
        let handover = Handover()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                handover.wait(continuation)
                // The library decodes what the peer nests by recursion, as deep as a frame of 128 KiB goes.
                let problem = startDetachedThread(name: "eventbus-login", stackSize: 8 << 20) {
                    handover.settle(attempt(parameters))
                }
                if problem != 0 {
                    handover.settle(
                        .failure(AMQPFailure(.connectFailed, "no thread: \(String(errorNumber: problem))"))
                    )
                }
            }
        } onCancel: {
            handover.settle(.failure(AMQPFailure(.closedByUs, "cancelled while connecting")))
        }
        return try outcome.get()
    }

    private static func attempt(_ parameters: LoginParameters) -> Outcome {
        Result { () throws(AMQPFailure) in
            let handle = try AMQPHandle()
            try handle.logIn(parameters)
            return handle
        }
    }
}
