import Glibc
import SoakAudit

/// A connection of a client through the proxy to its server.
final class ProxiedConnection {
    /// One direction of a connection, with the bytes that are not forwarded yet.
    private struct Pipe {
        /// Bytes with the time from which they may be forwarded.
        struct Chunk {
            var due: UInt64
            var bytes: ArraySlice<UInt8>
        }

        /// The number of waiting bytes from which nothing more is read.
        static let limit = 1 << 18

        let direction: FaultProxy.Direction
        let source: Int32
        let destination: Int32
        var chunks: [Chunk] = []
        var waiting = 0
        var forwarded = 0
        /// The time up to which the permitted rate is used up.
        var paidUntil: UInt64 = 0

        /// Returns a Boolean value indicating whether more bytes may be read. TCP sends a lost packet again until the fault
        /// ends, so bytes are late, but not missing.
        func mayRead(_ faults: FaultProxy.Faults) -> Bool { faults.lostDirection != direction && waiting < Self.limit }

        /// Forwards what can be forwarded. Returns `false` at the end of the connection.
        mutating func forward(_ faults: FaultProxy.Faults, _ isReadable: Bool, _ buffer: inout [UInt8]) -> Bool {
            if faults.lostDirection == direction { return true }
            let now = LedgerRecord.now()
            if isReadable {
                let count = recv(source, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if count > 0 {
                    // A copy, because the buffer is used again.
                    chunks.append(Chunk(due: now + faults.latency, bytes: Array(buffer[..<count])[...]))
                    waiting += count
                } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                    return false
                }
            }
            while let chunk = chunks.first, chunk.due <= now {
                var bytes = chunk.bytes
                if let rate = faults.bytesPerSecond {
                    guard paidUntil <= now else { return true }
                    bytes = bytes.prefix(max(1, rate / 50))
                    paidUntil = max(paidUntil, now) + UInt64(bytes.count) * 1_000_000_000 / UInt64(max(1, rate))
                }
                if let limit = faults.cutAfter { bytes = bytes.prefix(max(0, limit - forwarded)) }
                let sent = bytes.withUnsafeBytes {
                    send(destination, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                }
                if sent < 0 { return errno == EAGAIN || errno == EINTR }
                forwarded += sent
                waiting -= sent
                chunks[0].bytes = chunk.bytes.dropFirst(sent)
                if chunks[0].bytes.isEmpty { chunks.removeFirst() }
                if let limit = faults.cutAfter, forwarded >= limit { return false }
            }
            return true
        }
    }

    private let client: Int32
    private let server: Int32
    private var toServer: Pipe
    private var toClient: Pipe

    /// Accepts a connection and connects to the server. Returns `nil` if either fails.
    init?(accepting listener: Int32, _ port: Int) {
        guard let client = Socket.accept(listener) else { return nil }
        guard let server = Socket.connect(to: port) else {
            Socket.reset(client)
            return nil
        }
        self.client = client
        self.server = server
        toServer = Pipe(direction: .toServer, source: client, destination: server)
        toClient = Pipe(direction: .toClient, source: server, destination: client)
    }

    /// Returns the descriptors to poll: that of the client and that of the server, or -1 for one from which nothing is read.
    func interests(_ faults: FaultProxy.Faults) -> [pollfd] {
        [toServer, toClient].map {
            pollfd(fd: $0.mayRead(faults) ? $0.source : -1, events: Int16(POLLIN), revents: 0)
        }
    }

    /// A Boolean value indicating whether bytes wait to be forwarded.
    var isWaiting: Bool { toServer.waiting + toClient.waiting > 0 }

    /// Forwards what can be forwarded. Returns `false` if the connection has ended.
    func forward(
        _ faults: FaultProxy.Faults,
        _ isReadable: (client: Bool, server: Bool),
        _ buffer: inout [UInt8]
    ) -> Bool {
        toServer.forward(faults, isReadable.client, &buffer) && toClient.forward(faults, isReadable.server, &buffer)
    }

    /// Ends the connection on both sides at once.
    func reset() {
        Socket.reset(client)
        Socket.reset(server)
    }
}
