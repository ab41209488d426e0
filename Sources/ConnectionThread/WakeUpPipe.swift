import Glibc

/// A pipe that wakes another thread from `poll`.
// Safe because the descriptors never change, and because everyone who may use them keeps the object alive.
final class WakeUpPipe: Sendable {
    let readEnd: Int32
    private let writeEnd: Int32

    /// Creates a pipe. Returns `nil` if the process has no descriptors left.
    init?() {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        self.readEnd = ends[0]
        self.writeEnd = ends[1]
    }

    /// Makes the pipe readable. A full pipe is readable already.
    func signal() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Empties the pipe.
    func drain() {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            while read(readEnd, buffer.baseAddress, buffer.count) == buffer.count {}
        }
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }
}
