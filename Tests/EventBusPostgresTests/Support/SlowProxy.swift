import ConnectionThread
import EventBus
import Glibc
import Testing

@testable import EventBusPostgres

/// A TCP proxy on loopback through which the replies of a server arrive slowly.
final class SlowProxy: Sendable {
    private static let interval: Int32 = 10

    let port: Int
    private let bytesPerSecond: Locked<Int>

    /// Creates a proxy to the server on `serverPort`.
    init(to serverPort: Int, bytesPerSecond: Int) throws {
        let (listener, port) = try listenOnLoopback()
        self.port = port
        self.bytesPerSecond = Locked(bytesPerSecond)
        let link = Link(proxy: self)
        let problem = startDetachedThread(name: "test-proxy", stackSize: 1 << 20) {
            Self.serve(listener, serverPort, link)
        }
        try #require(problem == 0)
    }

    /// Changes the speed. With 0, nothing arrives.
    func set(bytesPerSecond: Int) {
        self.bytesPerSecond.withLock { $0 = bytesPerSecond }
    }

    /// The thread's access to the proxy. It does not retain the proxy, with which the thread ends.
    private struct Link: Sendable {
        weak let proxy: SlowProxy?
    }

    private static func serve(_ listener: Int32, _ serverPort: Int, _ link: Link) {
        var pairs: [(client: Int32, server: Int32)] = []
        func close(_ pair: (client: Int32, server: Int32)) {
            Glibc.close(pair.client)
            Glibc.close(pair.server)
        }
        defer {
            for pair in pairs { close(pair) }
            Glibc.close(listener)
        }
        while let proxy = link.proxy {
            // One step at a time, so that the bytes that wait are those of an interval.
            _ = poll(nil, 0, interval)
            let share = proxy.bytesPerSecond.withLock { $0 } * Int(interval) / 1000
            pairs = pairs.filter { pair in
                let isOpen = forward(pair.client, pair.server, 1 << 20) && forward(pair.server, pair.client, share)
                if !isOpen { close(pair) }
                return isOpen
            }
            guard isReadable(listener) else { continue }
            let client = accept(listener, nil, nil)
            guard client >= 0 else { continue }
            // Small, so that the server notices.
            if let server = connectOnLoopback(to: serverPort, receiveBuffer: 32_768) {
                pairs.append((client, server))
            } else {
                Glibc.close(client)
            }
        }
    }

    private static func isReadable(_ socket: Int32) -> Bool {
        var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, 0) == 1
    }

    /// Forwards at most `limit` bytes that wait. Returns `false` if the connection has ended.
    private static func forward(_ source: Int32, _ target: Int32, _ limit: Int) -> Bool {
        var left = limit
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while left > 0, isReadable(source) {
            let length = read(source, &buffer, min(left, buffer.count))
            guard length > 0 else { return false }
            left -= length
            var bytes = buffer[..<length]
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes { send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                guard count > 0 else { return false }
                bytes = bytes.dropFirst(count)
            }
        }
        return true
    }
}

extension TestDatabase {
    /// Returns a proxy to the server of the database, and the settings of a client that connects through it.
    func slowProxy(
        bytesPerSecond: Int,
        commandTimeout: Duration
    ) throws -> (proxy: SlowProxy, configuration: PostgresConfiguration) {
        let parts = try #require(url.wholeMatch(of: /(.*):([0-9]+)\/(.*)/))
        let proxy = try SlowProxy(to: try #require(Int(parts.2)), bytesPerSecond: bytesPerSecond)
        var configuration = try PostgresConfiguration("\(parts.1):\(proxy.port)/\(parts.3)")
        configuration.commandTimeout = commandTimeout
        return (proxy, configuration)
    }
}
