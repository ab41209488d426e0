import ConnectionThread
import EventBus

/// A command on its way, and who waits for its reply.
///
/// It ends once, by whatever comes first: the reply, its deadline, its caller's cancellation, the loss of the
/// connection. A command that was sent keeps its place among those in flight however it ended, so that its late reply
/// is taken by it and thrown away, and not by the command behind it.
final class PendingCommand: Sendable {
    private struct State {
        var continuation: UnsafeContinuation<RedisValue, any Error>?
        var result: Result<RedisValue, any Error>?
        var isSent = false
    }

    let command: RedisCommand
    let deadline: MonotonicTime
    private let state = Locked(State())

    init(_ command: RedisCommand, deadline: MonotonicTime) {
        self.command = command
        self.deadline = deadline
    }

    /// What it takes on the wire, in bytes.
    var size: Int { command.wire.count }

    var isDone: Bool { state.withLock { $0.result != nil } }

    /// Waits for the end. Called once at most.
    func attach(_ continuation: UnsafeContinuation<RedisValue, any Error>) {
        let result: Result<RedisValue, any Error>? = state.withLock { state in
            if state.result == nil { state.continuation = continuation }
            return state.result
        }
        if let result { continuation.resume(with: result) }
    }

    /// Notes that the command goes out now; false if it has ended before and must not.
    func markSent() -> Bool {
        state.withLock { state in
            guard state.result == nil else { return false }
            state.isSent = true
            return true
        }
    }

    func finish(_ result: Result<RedisValue, any Error>) {
        end { _ in result }
    }

    /// Ends the command because no reply will come: it may have had its effect if it was sent.
    func fail(_ reason: EventBusError) {
        end { isSent in
            .failure(
                isSent
                    ? EventBusError(
                        .indeterminate,
                        "the connection to Redis was lost after a command was sent; it may have been carried out",
                        underlying: reason
                    )
                    : reason
            )
        }
    }

    func expire() {
        end { isSent in
            .failure(
                isSent
                    ? EventBusError(.indeterminate, "Redis did not answer in time; the command may be carried out")
                    : EventBusError(.timedOut, "the command could not be sent to Redis in time")
            )
        }
    }

    func cancel() {
        end { _ in .failure(CancellationError()) }
    }

    private func end(_ result: (_ isSent: Bool) -> Result<RedisValue, any Error>) {
        let ended = state.withLock {
            state -> (UnsafeContinuation<RedisValue, any Error>, Result<RedisValue, any Error>)? in
            guard state.result == nil else { return nil }
            let result = result(state.isSent)
            state.result = result
            guard let continuation = state.continuation else { return nil }
            state.continuation = nil
            return (continuation, result)
        }
        if let (continuation, result) = ended { continuation.resume(with: result) }
    }
}
