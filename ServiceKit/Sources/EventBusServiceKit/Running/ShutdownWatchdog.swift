import Dispatch
import Glibc
import Synchronization

/// A timer that ends a process that was asked to end, if a part of it neither returns nor responds to cancellation.
final class ShutdownWatchdog: Sendable {
    /// The time that cancelled work has to end.
    static let grace = Duration.seconds(5)

    private enum State {
        case idle
        case begun(DispatchWorkItem)
        case over
    }

    // Sendable because a work item may be cancelled from any thread, and is accessed only through the lock.
    private struct Guarded: @unchecked Sendable {
        var state = State.idle
    }

    private let guarded = Mutex(Guarded())
    private let executable: String
    private let timeout: Duration

    /// Creates a timer.
    ///
    /// - Parameter timeout: The maximum duration of a graceful shutdown.
    init(executable: String, timeout: Duration) {
        self.executable = executable
        self.timeout = timeout
    }

    /// Starts the time of the graceful shutdown and the grace period after it.
    func begin() {
        let executable = executable
        let item = DispatchWorkItem {
            LineWriter.standardError.write("\(executable): something did not stop when it was cancelled")
            _exit(1)
        }
        let isFirst = guarded.withLock { guarded in
            guard case .idle = guarded.state else { return false }
            guarded.state = .begun(item)
            return true
        }
        guard isFirst else { return }
        let seconds = (timeout + Self.grace) / .seconds(1)
        DispatchQueue(label: "last-deadline").asyncAfter(deadline: .now() + seconds, execute: item)
    }

    /// Stops the timer, because the process has ended regularly.
    func cancel() {
        guarded.withLock { guarded in
            if case .begun(let item) = guarded.state { item.cancel() }
            guarded.state = .over
        }
    }
}
