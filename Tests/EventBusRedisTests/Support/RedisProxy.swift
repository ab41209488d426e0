import EventBus
import EventBusRedis
import Glibc

/// A proxy between clients and a server that holds data back on request.
final class RedisProxy: Sendable {
    enum Direction {
        case request
        case reply
    }

    let port: Int
    /// The valves for the data of clients and of the server.
    let requests = Valve()
    let replies = Valve()
    private let listener: RawListener
    private let connections = Shared<[RawConnection]>([])

    /// Creates a proxy for the server on `port`. `hook` is called with each piece before it is forwarded, on a thread
    /// that it may block.
    init(to port: Int, hook: @escaping @Sendable (Direction, [UInt8]) -> Void = { _, _ in }) throws {
        self.port = try freePort()
        guard let listener = try RawListener(port: self.port) else { throw EventBusError(.unavailable, "no port") }
        self.listener = listener
        onThread { [requests, replies, connections] in
            while let client = try? listener.accept() {
                guard let server = try? RawConnection(waitingFor: port) else { return }
                connections.change { $0 += [client, server] }
                onThread { Self.pump(from: client, to: server, through: requests) { hook(.request, $0) } }
                onThread { Self.pump(from: server, to: client, through: replies) { hook(.reply, $0) } }
            }
        }
    }

    deinit {
        listener.close()
        hangUp()
        requests.open()
        replies.open()
    }

    /// Closes every connection.
    func hangUp() {
        var taken: [RawConnection] = []
        connections.change { connections in
            taken = connections
            connections = []
        }
        for connection in taken { connection.hangUp() }
    }

    /// Drops all data in both directions and keeps the connections open.
    func close() {
        requests.close()
        replies.close()
    }

    func open() {
        requests.open()
        replies.open()
    }

    func client(_ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisClient {
        var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
        configuration.reconnect.maximum = .milliseconds(50)
        change(&configuration)
        return try RedisClient(configuration, logger: .silent)
    }

    private static func pump(
        from source: RawConnection,
        to target: RawConnection,
        through valve: Valve,
        _ hook: ([UInt8]) -> Void
    ) {
        while let bytes = try? source.readBytes(), !bytes.isEmpty {
            hook(bytes)
            valve.pass()
            target.write(bytes)
        }
        target.hangUp()
    }
}
