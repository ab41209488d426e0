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

    /// Shows the progress on one line, without control characters.
    public func show(_ line: String) {
        StandardError.write(Self.text(line, columns: isTerminal ? Self.columns : nil))
    }

    /// Returns what is written for a line.
    ///
    /// - Parameters:
    ///   - line: The line, which may contain foreign names.
    ///   - columns: The width of the terminal, or `nil` if there is none.
    static func text(_ line: String, columns: Int?) -> String {
        let line = line.cut(toUTF8Length: 4096).printable
        guard let columns else { return line + "\n" }
        // A line that wraps could not be redrawn.
        return "\r\u{1B}[2K" + line.prefix(columns - 1)
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
