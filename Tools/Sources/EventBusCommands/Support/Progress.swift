import Synchronization
import TerminalText

/// The progress of a long pass on standard error, if that is a terminal or the pass takes longer than the interval.
final class Progress: Sendable {
    private struct State {
        var last = ContinuousClock.now
        var isShown = false
    }

    private let display = ProgressDisplay()
    private let state = Mutex(State())

    /// Shows the progress, unless it was shown shortly before.
    func show(_ line: @autoclosure () -> String) {
        let isDue = state.withLock { state in
            guard state.last.duration(to: .now) >= display.interval else { return false }
            state.last = .now
            state.isShown = true
            return true
        }
        if isDue { display.show(line()) }
    }

    /// Removes the progress, to make room for further output.
    func finish() {
        if state.withLock({ $0.isShown }) { display.clear() }
    }
}
