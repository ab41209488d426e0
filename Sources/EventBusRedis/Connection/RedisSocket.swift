import ConnectionThread
import EventBus
import Glibc

/// A non-blocking stream socket that never raises SIGPIPE. It is closed when the last reference is released.
// Safe because the descriptor never changes, and everyone who uses it holds a reference.
final class RedisSocket: Sendable {
    enum Transfer {
        case moved(Int)
        case wouldBlock
        case closed
        /// The system reported this error number.
        case failed(Int32)
        /// TLS failed for this reason.
        case broken(String)
    }

    let descriptor: Int32

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// Returns a socket that connects to `address`. It is connected once it is writable and ``problem`` is zero.
    static func connecting(to address: SocketAddress) throws(EventBusError) -> RedisSocket {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(address.family, type, 0)
        guard descriptor >= 0 else {
            throw EventBusError(.unavailable, "no socket for Redis: \(String(errorNumber: errno))")
        }
        let socket = RedisSocket(descriptor)
        if address.family != AF_UNIX {
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        let result = address.withSockaddr { connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else {
            throw EventBusError(.unavailable, "no connection to Redis at \(address): \(String(errorNumber: errno))")
        }
        return socket
    }

    /// The error number of the last background operation, or zero if it succeeded.
    var problem: Int32 {
        var problem: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &problem, &length) == 0 else { return errno }
        return problem
    }

    /// The number of written bytes that have not reached the peer's machine.
    var undeliveredByteCount: Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 ? Int(max(0, count)) : 0
    }

    /// Makes closing the socket discard undelivered output and reset the connection.
    func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        return count == 0 ? .closed : transfer(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        return transfer(send(descriptor, bytes.baseAddress, bytes.count, flags))
    }

    private func transfer(_ count: Int) -> Transfer {
        if count >= 0 { return .moved(count) }
        let problem = errno
        return problem == EAGAIN || problem == EINTR ? .wouldBlock : .failed(problem)
    }
}
