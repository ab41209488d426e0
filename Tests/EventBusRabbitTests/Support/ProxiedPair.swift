import Glibc

/// The two sockets of a connection that passes through a proxy.
final class ProxiedPair {
    /// The purpose of the connection, according to the name that the client sends to the broker.
    enum Role: Sendable { case publish, consume, unknown }

    enum Outcome {
        /// All bytes were forwarded, except for the swallowed methods.
        case forwarded(FrameFilter.Counts)
        /// One side has closed the connection.
        case ended
        /// The number of bytes was reached.
        case cut
    }

    let client: Int32
    let broker: Int32
    private(set) var role = Role.unknown
    private var toBroker = 0
    private var toClient = 0
    private var beginning: [UInt8] = []
    /// The number of bytes that were sent to the broker before the first event.
    private var firstEvent: Int?
    private var filter = FrameFilter()
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// Accepts the next client that waits at `listener`, and connects to the broker for it.
    init?(accepting listener: Int32, brokerPort: Int) {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { return nil }
        guard let broker = connectOnLoopback(to: brokerPort) else {
            Glibc.close(client)
            return nil
        }
        var one: Int32 = 1
        for descriptor in [client, broker] {
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        self.client = client
        self.broker = broker
    }

    func close() {
        Glibc.close(client)
        Glibc.close(broker)
    }

    /// Forwards the bytes that wait on one side, as far as the faults permit.
    func forward(_ direction: TestProxy.Direction, _ faults: TestProxy.Faults) -> Outcome {
        let isToBroker = direction == .toBroker
        let length = read(isToBroker ? client : broker, &buffer, buffer.count)
        guard length > 0 else { return .ended }
        var bytes = Array(buffer[..<length])
        var counts = FrameFilter.Counts()
        if isToBroker {
            recognize(bytes)
        } else if let methods = faults.swallowed {
            (bytes, counts) = filter.pass(bytes, without: methods)
        }
        let before = isToBroker ? toBroker : toClient
        var isCut = false
        if let cut = faults.cut, cut.direction == direction,
            let limit = cut.countsFromFirstEvent ? firstEvent.map({ $0 + cut.bytes }) : cut.bytes,
            before + bytes.count >= limit
        {
            bytes.removeSubrange(max(0, limit - before)...)
            isCut = true
        }
        guard sendAll(bytes, to: isToBroker ? broker : client) else { return .ended }
        if isToBroker { toBroker += bytes.count } else { toClient += bytes.count }
        return isCut ? .cut : .forwarded(counts)
    }

    /// Finds the name of the connection and its first event in the bytes to the broker.
    private func recognize(_ bytes: [UInt8]) {
        guard firstEvent == nil, beginning.count < 64 << 10 else { return }
        let known = beginning.count
        beginning += bytes
        if role == .unknown {
            if contains(Array("eventbus.publish".utf8), from: 0) != nil { role = .publish }
            if contains(Array("eventbus.consume".utf8), from: 0) != nil { role = .consume }
        }
        // A method frame of class 60, method 40. The frame began seven bytes before.
        if role == .publish, let place = contains([0, 60, 0, 40], from: max(0, known - 3)) { firstEvent = place - 7 }
    }

    private func contains(_ pattern: [UInt8], from start: Int) -> Int? {
        guard beginning.count >= pattern.count else { return nil }
        return (start...(max(start, beginning.count - pattern.count))).first {
            beginning[$0...].starts(with: pattern)
        }
    }
}
