import Glibc

/// A display of progress on standard error. On a terminal it is one line that is redrawn, and otherwise a new line at
/// intervals.
public struct ProgressDisplay: Sendable {
    private let isTerminal: Bool

    /// Creates a display on the standard error of the process.
    public init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    /// The interval between updates.
    public var interval: Duration { isTerminal ? .milliseconds(100) : .seconds(2) }

    /// Shows the progress on one line.
    public func show(_ line: String) {
        if isTerminal {
            // A line that wraps could not be redrawn.
            StandardError.write("\r\u{1B}[2K" + line.prefix(Self.columns - 1))
        } else {
            StandardError.write(line + "\n")
        }
    }

    /// Removes the line, to make room for further output.
    public func clear() {
        if isTerminal { StandardError.write("\r\u{1B}[2K") }
    }

    private static var columns: Int {
        // Rows, columns and two more values. The module of the C structure depends on the other imports.
        var size: [UInt16] = [0, 0, 0, 0]
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size[1] > 1
        return isKnown ? Int(size[1]) : 80
    }
}
