import EventBus
import Glibc

@testable import EventBusRedis

/// A blocking socket to a server on loopback, for tests that control every byte.
final class RawConnection: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Connects as soon as `port` is open.
    init(waitingFor port: Int) throws {
        let deadline = ContinuousClock.now.advanced(by: .seconds(20))
        while true {
            let candidate = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            if withLoopback(port, { connect(candidate, $0, $1) }) == 0 {
                descriptor = candidate
                return
            }
            close(candidate)
            guard ContinuousClock.now < deadline else {
                throw EventBusError(.unavailable, "nothing listens on port \(port)")
            }
            usleep(2000)
        }
    }

    deinit { close(descriptor) }

    func write(_ text: String) {
        write(Array(text.utf8))
    }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Returns the received bytes as soon as there are any. It is empty when the peer has closed.
    func readBytes() throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else { throw EventBusError(.unavailable, "the peer is gone") }
        return Array(buffer[..<count])
    }

    func read() throws -> String {
        String(decoding: try readBytes(), as: UTF8.self)
    }

    func hangUp() {
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}

/// Sends a command to a server of any kind, such as a replica.
func reply(to command: RedisCommand, at port: Int) throws -> RedisValue {
    let connection = try RawConnection(waitingFor: port)
    let reader = try ReplyReader(maximumSize: 1 << 20)
    connection.write(command.wire)
    while true {
        if let reply = try reader.next() { return reply }
        let bytes = try connection.readBytes()
        guard !bytes.isEmpty else { throw EventBusError(.unavailable, "the server is gone") }
        try bytes.withUnsafeBytes { try reader.feed($0) }
    }
}

/// A listener on a loopback port.
final class RawListener: Sendable {
    let descriptor: Int32

    /// Creates a listener, or returns `nil` if the port is in use.
    init?(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard withLoopback(port, { bind(descriptor, $0, $1) }) == 0, listen(descriptor, 64) == 0 else {
            return nil
        }
    }

    deinit { close(descriptor) }

    func accept() throws -> RawConnection {
        let peer = Glibc.accept(descriptor, nil, nil)
        guard peer >= 0 else { throw EventBusError(.unavailable, "the listener is closed") }
        return RawConnection(descriptor: peer)
    }

    func close() {
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    private func close(_ descriptor: Int32) { Glibc.close(descriptor) }
}

private func withLoopback(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    return withUnsafeBytes(of: &address) { bytes in
        guard let start = bytes.bindMemory(to: sockaddr.self).baseAddress else { return -1 }
        return body(start, socklen_t(bytes.count))
    }
}
