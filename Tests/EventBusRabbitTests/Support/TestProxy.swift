import ConnectionThread
import EventBus
import Glibc
import Testing

/// A TCP proxy on loopback that breaks connections on demand.
final class TestProxy: Sendable {
    enum Direction: Sendable { case toBroker, toClient }

    private struct Faults {
        var cutAfter: (direction: Direction, bytes: Int)?
        var isFrozen = false
        var mustCut = false
        var accepted = 0
    }

    let port: Int
    private let faults = Locked(Faults())

    /// Forwards what comes to its own port to `brokerPort`.
    init(to brokerPort: Int) throws {
        let listener = try listenOnLoopback()
        port = listener.port
        let faults = Shared(
            faults: { [weak self] in self?.snapshot() },
            accepted: { [weak self] in self?.faults.withLock { $0.accepted += 1 } }
        )
        let problem = startDetachedThread(name: "test-proxy", stackSize: 1 << 20) {
            TestProxy.serve(listener.descriptor, brokerPort, faults)
        }
        try #require(problem == 0)
    }

    /// How many connections there have been.
    var connections: Int { faults.withLock { $0.accepted } }

    private func snapshot() -> Faults {
        faults.withLock { faults in
            defer { faults.mustCut = false }
            return faults
        }
    }

    /// Cuts every new connection after so many bytes in one direction; `nil` for no more.
    func cut(after bytes: Int?, _ direction: Direction) {
        faults.withLock { $0.cutAfter = bytes.map { (direction, $0) } }
    }

    /// Cuts all connections there are.
    func cutAll() { faults.withLock { $0.mustCut = true } }

    /// Forwards nothing while frozen: the peers stay connected to a silence.
    func setFrozen(_ isFrozen: Bool) { faults.withLock { $0.isFrozen = isFrozen } }

    /// The thread's way to the proxy, which does not keep it: the thread ends with it.
    private struct Shared: Sendable {
        let faults: @Sendable () -> Faults?
        let accepted: @Sendable () -> Void
    }

    private struct Pair {
        var client: Int32
        var broker: Int32
        var toBroker = 0
        var toClient = 0
    }

    private static func serve(_ listener: Int32, _ brokerPort: Int, _ shared: Shared) {
        var pairs: [Pair] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        defer {
            for pair in pairs {
                close(pair.client)
                close(pair.broker)
            }
            close(listener)
        }
        while let faults = shared.faults() {
            if faults.mustCut {
                for pair in pairs {
                    close(pair.client)
                    close(pair.broker)
                }
                pairs = []
            }
            var descriptors = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            if !faults.isFrozen {
                for pair in pairs {
                    descriptors.append(pollfd(fd: pair.client, events: Int16(POLLIN), revents: 0))
                    descriptors.append(pollfd(fd: pair.broker, events: Int16(POLLIN), revents: 0))
                }
            }
            _ = poll(&descriptors, nfds_t(descriptors.count), 5)
            if descriptors[0].revents != 0 {
                let client = accept(listener, nil, nil)
                if client >= 0 {
                    shared.accepted()
                    if let broker = connectOnLoopback(to: brokerPort) {
                        var one: Int32 = 1
                        setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
                        setsockopt(broker, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
                        pairs.append(Pair(client: client, broker: broker))
                    } else {
                        close(client)
                    }
                }
            }
            if faults.isFrozen { continue }
            let count = (descriptors.count - 1) / 2
            var ended: Set<Int> = []
            for index in 0..<count {
                for direction in [Direction.toBroker, .toClient] {
                    let isToBroker = direction == .toBroker
                    guard !ended.contains(index), descriptors[1 + index * 2 + (isToBroker ? 0 : 1)].revents != 0 else {
                        continue
                    }
                    let source = isToBroker ? pairs[index].client : pairs[index].broker
                    let target = isToBroker ? pairs[index].broker : pairs[index].client
                    var length = read(source, &buffer, buffer.count)
                    if length <= 0 {
                        ended.insert(index)
                        continue
                    }
                    let before = isToBroker ? pairs[index].toBroker : pairs[index].toClient
                    if let cut = faults.cutAfter, cut.direction == direction, before + length >= cut.bytes {
                        length = max(0, cut.bytes - before)
                        ended.insert(index)
                    }
                    var sent = 0
                    while sent < length {
                        let written = buffer[sent..<length].withUnsafeBytes {
                            send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                        }
                        if written <= 0 {
                            ended.insert(index)
                            break
                        }
                        sent += written
                    }
                    if isToBroker { pairs[index].toBroker += length } else { pairs[index].toClient += length }
                }
            }
            for index in ended.sorted().reversed() {
                close(pairs[index].client)
                close(pairs[index].broker)
                pairs.remove(at: index)
            }
        }
    }
}

private func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    return address
}

func freePort() throws -> Int {
    let listener = try listenOnLoopback()
    close(listener.descriptor)
    return listener.port
}

func listenOnLoopback() throws -> (descriptor: Int32, port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0)
    var address = loopback(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            bind(descriptor, pointer, length) == 0 && listen(descriptor, 64) == 0
                && getsockname(descriptor, pointer, &length) == 0
        }
    }
    try #require(isListening)
    return (descriptor, Int(in_port_t(bigEndian: address.sin_port)))
}

func connectOnLoopback(to port: Int) -> Int32? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopback(port)
    let status = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    if status == 0 { return descriptor }
    close(descriptor)
    return nil
}

/// Whether something listens on the port.
func portIsOpen(_ port: Int) -> Bool {
    guard let descriptor = connectOnLoopback(to: port) else { return false }
    close(descriptor)
    return true
}
