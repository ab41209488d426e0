import Glibc

/// Standard error, unbuffered.
public enum StandardError {
    /// Writes a text unchanged.
    public static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // Nobody reads it, so there is nobody to tell.
            if count <= 0 { return }
            bytes.removeFirst(count)
        }
    }

    /// Writes a text on one line, without control characters and with at most 4 KiB.
    public static func line(_ text: String) {
        write(text.cut(toUTF8Length: 4096).printable + "\n")
    }
}
