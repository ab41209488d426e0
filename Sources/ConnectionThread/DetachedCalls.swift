import Glibc
import Synchronization

/// Calls a function that may block for any length of time for several subjects at once, each on a detached thread.
///
/// It returns when all calls have ended, `patience` after the first success, or at `deadline`. Nobody waits for the
/// other calls, whose threads end with them.
///
/// - Returns: The result for each subject, or `nil` if there is none yet.
package func callDetached<Subject: Sendable, Value: Sendable, Failure: Error>(
    for subjects: [Subject],
    threadName: String,
    until deadline: MonotonicTime,
    patience: Duration,
    _ body: @escaping @Sendable (Subject) throws(Failure) -> Value
) -> [Result<Value, Failure>?] {
    guard let calls = DetachedCalls<Value, Failure>(count: subjects.count, until: deadline, patience) else {
        return subjects.map { _ in nil }
    }
    for (index, subject) in subjects.enumerated() {
        let problem = startDetachedThread(name: threadName, stackSize: 1 << 20) {
            do throws(Failure) {
                calls.end(index, .success(try body(subject)))
            } catch {
                calls.end(index, .failure(error))
            }
        }
        if problem != 0 { calls.end(index, nil) }
    }
    return calls.wait()
}

/// The results of calls on detached threads.
private final class DetachedCalls<Value: Sendable, Failure: Error>: Sendable {
    private struct State {
        var results: [Result<Value, Failure>?]
        var missing: Int
        /// The time until which the missing results are waited for.
        var end: MonotonicTime
    }

    private let state: Mutex<State>
    private let patience: Duration
    private let pipe: WakeUpPipe

    init?(count: Int, until deadline: MonotonicTime, _ patience: Duration) {
        guard let pipe = WakeUpPipe() else { return nil }
        self.pipe = pipe
        self.patience = patience
        self.state = Mutex(State(results: Array(repeating: nil, count: count), missing: count, end: deadline))
    }

    /// Records the end of a call.
    func end(_ index: Int, _ result: Result<Value, Failure>?) {
        state.withLock { state in
            state.results[index] = result
            state.missing -= 1
            if case .success = result { state.end = min(state.end, MonotonicTime.now.advanced(by: patience)) }
        }
        pipe.signal()
    }

    func wait() -> [Result<Value, Failure>?] {
        while true {
            let (missing, end) = state.withLock { ($0.missing, $0.end) }
            let now = MonotonicTime.now
            guard missing > 0, now < end else { return state.withLock { $0.results } }
            var descriptor = pollfd(fd: pipe.readEnd, events: Int16(POLLIN), revents: 0)
            let milliseconds = MonotonicTime.nanoseconds(now.duration(to: end)) / 1_000_000 + 1
            poll(&descriptor, 1, Int32(clamping: milliseconds))
            pipe.drain()
        }
    }
}
