import ConnectionThread
import Glibc

/// A copy of a socket whose connection has ended here, which is read until the peer has closed it.
///
/// Closing a socket with unread data resets the connection, and the peer may lose what was sent before.
final class SocketDrain {
    /// The maximum time until the socket is closed.
    private static let limit = Duration.seconds(2)

    private let descriptor: Int32
    private var watch: ConnectionThread.WatchID?

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        Glibc.close(descriptor)
    }

    /// Reads and discards everything that arrives on a copy of `descriptor`. It is called on the thread.
    static func start(on descriptor: Int32, _ thread: ConnectionThread) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return }
        let drain = SocketDrain(copy)
        drain.watch = thread.watch(copy, for: .readable) { [weak thread] _ in
            if !drain.discard(), let thread { drain.stop(thread) }
        }
        thread.schedule(at: .now.advanced(by: limit)) { [weak thread] in
            if let thread { drain.stop(thread) }
        }
    }

    /// Discards what has arrived. Returns `false` at the end.
    private func discard() -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 1) { buffer in
            // Other work of the thread gets its turn.
            for _ in 0..<16 {
                let length = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                if length > 0 { continue }
                return length < 0 && [EAGAIN, EWOULDBLOCK, EINTR].contains(errno)
            }
            return true
        }
    }

    private func stop(_ thread: ConnectionThread) {
        guard let watch else { return }
        self.watch = nil
        thread.unwatch(watch)
    }
}
