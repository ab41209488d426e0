import Glibc

/// Shows progress on standard error: on a terminal as one line that is drawn again and again, else now and then as a
/// line of its own.
public struct ProgressDisplay: Sendable {
    private let isTerminal: Bool

    /// A display on the standard error that the process has.
    public init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    /// How often it is worth showing something.
    public var interval: Duration { isTerminal ? .milliseconds(100) : .seconds(2) }

    /// Shows how far it is, in one line.
    public func show(_ line: String) {
        if isTerminal {
            // A line that wraps could not be drawn over.
            StandardError.write("\r\u{1B}[2K" + line.prefix(Self.columns - 1))
        } else {
            StandardError.write(line + "\n")
        }
    }

    /// Takes the line away, to make room for what comes after.
    public func clear() {
        if isTerminal { StandardError.write("\r\u{1B}[2K") }
    }

    private static var columns: Int {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 1
        return isKnown ? Int(size.ws_col) : 80
    }
}
