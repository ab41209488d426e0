import EventBus
import Glibc

@testable import EventBusRedis

/// A peer with scripted replies, on a separate thread for each connection.
final class ScriptedServer: Sendable {
    let port: Int
    private let listener: RawListener

    /// Calls `answer` for each received command. It returns the bytes of the reply, or `nil` to close the connection.
    convenience init(
        _ answer: @escaping @Sendable (_ command: [String], _ connection: RawConnection) -> [UInt8]?
    ) throws {
        try self.init(batches: { commands, connection in
            for command in commands {
                guard let reply = answer(command, connection) else { return false }
                connection.write(reply)
            }
            return true
        })
    }

    /// Calls `answer` with all received commands. It returns `false` to close the connection.
    init(batches answer: @escaping @Sendable (_ commands: [[String]], _ connection: RawConnection) -> Bool) throws {
        port = try freePort()
        guard let listener = try RawListener(port: port) else { throw EventBusError(.unavailable, "no port") }
        self.listener = listener
        onThread {
            while let connection = try? listener.accept() {
                onThread { Self.serve(connection, answer) }
            }
        }
    }

    deinit { listener.close() }

    var configuration: RedisConfiguration {
        var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
        configuration.connectTimeout = .seconds(2)
        configuration.reconnect.maximum = .milliseconds(50)
        return configuration
    }

    func client(_ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisClient {
        var configuration = configuration
        change(&configuration)
        return try RedisClient(configuration, logger: .silent)
    }

    private static func serve(
        _ connection: RawConnection,
        _ answer: (_ commands: [[String]], _ connection: RawConnection) -> Bool
    ) {
        // Commands are arrays of texts, as replies can be.
        guard let reader = try? ReplyReader(maximumSize: 1 << 20) else { return }
        while let bytes = try? connection.readBytes(), !bytes.isEmpty {
            guard (try? bytes.withUnsafeBytes { try reader.feed($0) }) != nil else { return }
            var commands: [[String]] = []
            while let command = (try? reader.next()) ?? nil {
                commands.append((command.array ?? []).compactMap(\.text))
            }
            guard answer(commands, connection) else { return connection.hangUp() }
        }
    }
}

/// Runs `body` on a separate thread, because it blocks.
func onThread(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    pthread_create(
        &thread,
        nil,
        { argument in
            if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        },
        box.toOpaque()
    )
    pthread_detach(thread)
}

/// Returns a server's reply to a command of the greeting, or `nil` for other commands.
func greetingReply(_ command: [String]) -> [UInt8]? {
    switch command.first {
    case "CLIENT", "SELECT", "AUTH": Array("+OK\r\n".utf8)
    case "PING": Array("+PONG\r\n".utf8)
    case "ROLE": Array("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".utf8)
    case "INFO", "HELLO": Array("-ERR unknown command\r\n".utf8)
    default: nil
    }
}
