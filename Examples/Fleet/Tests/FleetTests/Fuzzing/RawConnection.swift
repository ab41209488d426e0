import Fleet
import Glibc

/// A TCP connection to a service on this machine that takes any bytes.
final class RawConnection {
    private let socket: Int32
    private var received: [UInt8] = []
    private var isOpen = true

    /// Connects to a port.
    ///
    /// - Parameter timeout: The maximum wait of a call.
    init(port: Int, timeout: Duration) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        // As plain numbers, because the module of the C structures depends on the other imports of a package.
        let limit = [Int(timeout.components.seconds), 0]
        let size = socklen_t(MemoryLayout<Int>.stride * limit.count)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, limit, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, limit, size)
        let address: [UInt8] =
            [UInt8(AF_INET), 0, UInt8(port >> 8), UInt8(port & 0xFF), 127, 0, 0, 1] + [UInt8](repeating: 0, count: 8)
        let result = address.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { connect(socket, $0.baseAddress, socklen_t(bytes.count)) }
        }
        if result != 0 {
            let problem = errno
            Glibc.close(socket)
            isOpen = false
            throw FleetProblem("port \(port) takes no connection: \(String(cString: strerror(problem)))")
        }
    }

    deinit {
        close()
    }

    /// Closes it.
    func close() {
        if isOpen { Glibc.close(socket) }
        isOpen = false
    }

    /// Sends a text; see ``send(_:)-([UInt8])``.
    func send(_ text: String) throws {
        try send(Array(text.utf8))
    }

    /// Sends bytes.
    ///
    /// - Throws: ``FleetProblem`` if the other side has closed the connection.
    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { throw FleetProblem("the connection is closed") }
            rest.removeFirst(count)
        }
    }

    /// Signals that nothing more is sent.
    func finish() {
        shutdown(socket, Int32(SHUT_WR))
    }

    /// Reads a response with its body.
    ///
    /// - Returns: The status, or `nil` if the other side closes the connection or stays silent.
    func status() -> Int? {
        while true {
            guard let head = end(of: "\r\n\r\n") else {
                guard receive() else { return nil }
                continue
            }
            let text = String(decoding: received[..<head], as: UTF8.self)
            let lines = text.split(separator: "\r\n")
            guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
                return nil
            }
            let length = lines.compactMap { line -> Int? in
                let parts = line.split(separator: ":", maxSplits: 1)
                return parts.first?.lowercased() == "content-length"
                    ? parts.last.flatMap { Int($0.drop { $0 == " " }) } : nil
            }.first
            while received.count < head + (length ?? 0) {
                guard receive() else { break }
            }
            received.removeFirst(min(received.count, head + (length ?? 0)))
            return status
        }
    }

    private func end(of mark: String) -> Int? {
        let mark = Array(mark.utf8)
        guard received.count >= mark.count else { return nil }
        return (0...received.count - mark.count).first { received[$0..<$0 + mark.count].elementsEqual(mark) }
            .map { $0 + mark.count }
    }

    private func receive() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(socket, &buffer, buffer.count, 0)
        if count <= 0 { return false }
        received += buffer[..<count]
        return true
    }
}
