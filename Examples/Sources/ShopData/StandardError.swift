import Glibc

/// Standard error, unbuffered.
public enum StandardError {
    /// Writes a text unchanged.
    public static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            // Nobody reads it, so there is nobody to tell.
            if count <= 0 { return }
            bytes.removeFirst(count)
        }
    }

    /// Writes a line.
    public static func line(_ text: String) {
        write(text + "\n")
    }
}
