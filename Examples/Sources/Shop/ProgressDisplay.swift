import Glibc

/// Shows progress on standard error: on a terminal as one line that is drawn again and again, else now and then as a
/// line of its own.
struct ProgressDisplay: Sendable {
    private let isTerminal: Bool

    init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    /// How often it is worth showing something.
    var interval: Duration { isTerminal ? .milliseconds(100) : .seconds(2) }

    /// Shows how far it is.
    func show(_ progress: Progress) {
        if isTerminal {
            // A line that wraps could not be drawn over.
            write("\r\u{1B}[2K" + progress.line.prefix(Self.columns - 1))
        } else {
            write(progress.line + "\n")
        }
    }

    /// Takes the line away, to make room for what comes after.
    func clear() {
        if isTerminal { write("\r\u{1B}[2K") }
    }

    private func write(_ text: String) {
        StandardError.write(text)
    }

    private static var columns: Int {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 1
        return isKnown ? Int(size.ws_col) : 80
    }
}

/// Standard error, unbuffered.
enum StandardError {
    static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            // Nobody reads it: there is no one to tell.
            if count <= 0 { return }
            bytes.removeFirst(count)
        }
    }

    static func line(_ text: String) {
        write(text + "\n")
    }
}
