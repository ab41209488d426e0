import Glibc
import Synchronization

/// A TCP proxy on loopback, between the workers and a server, that delays, loses and breaks what it forwards.
///
/// It has one thread, which ends with the process.
final class FaultProxy: Sendable {
    /// The direction of the bytes of a connection.
    enum Direction: Sendable { case toServer, toClient }

    /// The faults of all connections.
    struct Faults: Sendable {
        /// The time by which bytes are delayed, in nanoseconds.
        var latency: UInt64 = 0
        /// The maximum number of bytes a second in each direction of a connection.
        var bytesPerSecond: Int?
        /// The direction in which nothing is forwarded, as if the network lost all packets.
        var lostDirection: Direction?
        /// The number of bytes after which a connection is reset.
        var cutAfter: Int?
        /// A counter whose change resets all connections.
        var resets = 0
    }

    /// The port to which clients connect.
    let port: Int
    private let serverPort: Int
    private let listener: Int32
    private let faults = Mutex(Faults())

    /// Starts a proxy of the server on a port of this machine.
    init(serverPort: Int) throws {
        (listener, port) = try Socket.listen()
        self.serverPort = serverPort
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { pointer in
                if let pointer { Unmanaged<FaultProxy>.fromOpaque(pointer).takeRetainedValue().serve() }
                return nil
            },
            Unmanaged.passRetained(self).toOpaque()
        )
        guard status == 0 else { throw SoakProblem("no thread for a proxy: \(status)") }
        pthread_detach(thread)
    }

    /// Changes the faults.
    func change(_ body: (inout Faults) -> Void) { faults.withLock { body(&$0) } }

    private func serve() -> Never {
        var connections: [ProxiedConnection] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var resets = 0
        while true {
            let faults = faults.withLock { $0 }
            if faults.resets != resets {
                resets = faults.resets
                for connection in connections { connection.reset() }
                connections = []
            }
            var descriptors = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            for connection in connections { descriptors += connection.interests(faults) }
            // Every change of the faults and every delayed byte is noticed within this time.
            _ = poll(&descriptors, nfds_t(descriptors.count), connections.contains { $0.isWaiting } ? 1 : 10)
            var remaining: [ProxiedConnection] = []
            for (index, connection) in connections.enumerated() {
                let isReadable = (descriptors[1 + index * 2].revents != 0, descriptors[2 + index * 2].revents != 0)
                if connection.forward(faults, isReadable, &buffer) {
                    remaining.append(connection)
                } else {
                    connection.reset()
                }
            }
            connections = remaining
            if descriptors[0].revents != 0, let connection = ProxiedConnection(accepting: listener, serverPort) {
                connections.append(connection)
            }
        }
    }
}
