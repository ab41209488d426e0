import Dispatch
import Glibc
import Synchronization

/// Ends a process that was asked to end and does not, because something in it neither returns nor heeds cancellation.
final class LastDeadline: Sendable {
    /// How long what was cancelled may take to notice.
    static let grace = Duration.seconds(5)

    private enum State {
        case idle
        case begun(DispatchWorkItem)
        case over
    }

    // Proof of Sendable: a work item may be cancelled from any thread, and is reached through the lock only.
    private struct Guarded: @unchecked Sendable {
        var state = State.idle
    }

    private let guarded = Mutex(Guarded())
    private let executable: String
    private let timeout: Duration

    /// - Parameter timeout: What an orderly shutdown may take.
    init(executable: String, timeout: Duration) {
        self.executable = executable
        self.timeout = timeout
    }

    /// Gives the process the time of an orderly shutdown, and the grace after it.
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

    /// The process has ended by itself.
    func cancel() {
        guarded.withLock { guarded in
            if case .begun(let item) = guarded.state { item.cancel() }
            guarded.state = .over
        }
    }
}
