import ConnectionThread
import EventBus
import Glibc
import Testing

/// A TCP proxy on loopback that cuts each connection some bytes later than the one before, until a number of bytes. Then
/// it cuts none.
final class CuttingProxy: Sendable {
    enum Direction: Sendable { case toServer, toClient }

    private struct State {
        /// The number of bytes after which a new connection is cut.
        var next: Int
        var cuts = 0
    }

    let port: Int
    private let direction: Direction
    private let stride: Int
    private let end: Int
    private let state: Locked<State>

    /// Creates a proxy to the server on `serverPort`.
    ///
    /// - Parameters:
    ///   - direction: The direction whose bytes are counted.
    ///   - stride: The number of bytes by which the next connection is cut later. The first one is cut after one byte.
    ///   - end: The number of bytes from which connections are not cut.
    init(to serverPort: Int, cutting direction: Direction, every stride: Int, until end: Int) throws {
        let (listener, port) = try listenOnLoopback()
        self.port = port
        (self.direction, self.stride, self.end) = (direction, stride, end)
        state = Locked(State(next: 1))
        let link = Link(proxy: self)
        let problem = startDetachedThread(name: "test-proxy", stackSize: 1 << 20) {
            Self.serve(listener, serverPort, link)
        }
        try #require(problem == 0)
    }

    /// The number of connections that were cut.
    var cuts: Int { state.withLock { $0.cuts } }

    /// A Boolean value indicating whether connections are no longer cut.
    var isDone: Bool { state.withLock { $0.next >= end } }

    /// The thread's access to the proxy. It does not retain the proxy, with which the thread ends.
    private struct Link: Sendable {
        weak let proxy: CuttingProxy?
    }

    /// The two sockets of a connection.
    private struct Pair {
        let client: Int32
        let server: Int32
        /// The number of bytes after which the connection is cut.
        let limit: Int
        var counted = 0

        func close() {
            Glibc.close(client)
            Glibc.close(server)
        }
    }

    private static func serve(_ listener: Int32, _ serverPort: Int, _ link: Link) {
        var pairs: [Pair] = []
        defer {
            for pair in pairs { pair.close() }
            Glibc.close(listener)
        }
        while let proxy = link.proxy {
            let sockets = [listener] + pairs.flatMap { [$0.client, $0.server] }
            var descriptors = sockets.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            _ = poll(&descriptors, nfds_t(descriptors.count), 20)
            for index in pairs.indices.reversed() {
                let isReady = [1, 2].map { descriptors[index * 2 + $0].revents != 0 }
                if (isReady[0] && !proxy.forward(.toServer, &pairs[index]))
                    || (isReady[1] && !proxy.forward(.toClient, &pairs[index]))
                {
                    pairs[index].close()
                    pairs.remove(at: index)
                }
            }
            if descriptors[0].revents != 0, let pair = proxy.accept(listener, serverPort) { pairs.append(pair) }
        }
    }

    private func accept(_ listener: Int32, _ serverPort: Int) -> Pair? {
        let client = Glibc.accept(listener, nil, nil)
        guard client >= 0 else { return nil }
        guard let server = connectOnLoopback(to: serverPort) else {
            Glibc.close(client)
            return nil
        }
        var one: Int32 = 1
        for descriptor in [client, server] {
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        let next = state.withLock { $0.next }
        return Pair(client: client, server: server, limit: next >= end ? .max : next)
    }

    /// Forwards the bytes that wait on one side. Returns `false` if the connection has ended.
    private func forward(_ direction: Direction, _ pair: inout Pair) -> Bool {
        let (source, target) = direction == .toServer ? (pair.client, pair.server) : (pair.server, pair.client)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let length = read(source, &buffer, buffer.count)
        guard length > 0 else { return false }
        var bytes = buffer[..<length]
        var isCut = false
        if direction == self.direction {
            if pair.limit - pair.counted <= bytes.count {
                bytes = bytes.prefix(pair.limit - pair.counted)
                isCut = true
            }
            pair.counted += bytes.count
        }
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        guard isCut else { return true }
        state.withLock { state in
            state.cuts += 1
            state.next = max(state.next, pair.limit + stride)
        }
        return false
    }
}
