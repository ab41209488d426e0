import Glibc
import Synchronization

/// A writer of whole lines to a file descriptor. It makes one write(2) call per line, so lines of several tasks never
/// mix.
final class LineWriter: Sendable {
    /// The process's standard output.
    static let standardOutput = LineWriter(descriptor: STDOUT_FILENO)
    /// The process's standard error.
    static let standardError = LineWriter(descriptor: STDERR_FILENO)

    // Locked while a line is written, because a pipe may accept a long line in parts.
    private let descriptor: Mutex<CInt>

    init(descriptor: CInt) {
        self.descriptor = Mutex(descriptor)
    }

    /// Writes a line. A line that the other end does not accept is lost.
    func write(_ line: [UInt8]) {
        descriptor.withLock { descriptor in
            var written = 0
            while written < line.count {
                let count = line.withUnsafeBytes { bytes in
                    Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                }
                if count > 0 {
                    written += count
                } else if count < 0 && errno == EAGAIN {
                    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = Glibc.poll(&poll, 1, -1)
                } else if count == 0 || errno != EINTR {
                    return
                }
            }
        }
    }

    /// Writes a line of text.
    func write(_ text: String) {
        write(Array(text.utf8) + [UInt8(ascii: "\n")])
    }
}
