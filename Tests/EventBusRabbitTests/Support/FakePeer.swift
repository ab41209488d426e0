import ConnectionThread
import EventBus
import Glibc
import Testing

/// A scripted broker. By default it accepts everything and confirms every event.
final class FakePeer: Sendable {
    struct Method: Hashable, Sendable {
        var classID: UInt16
        var methodID: UInt16

        init(_ classID: UInt16, _ methodID: UInt16) {
            self.classID = classID
            self.methodID = methodID
        }

        static let publish = Method(60, 40)
        static let consume = Method(60, 20)
        static let cancel = Method(60, 30)
        static let get = Method(60, 70)
        static let confirmSelect = Method(85, 10)
    }

    struct Behaviour: Sendable {
        var serverProperties: [UInt8] = []
        var channelMaximum: UInt16 = 2047
        var frameMaximum: UInt32 = 131_072
        /// The method at which it stops answering permanently, before it reads on.
        var freezesAt: Method?
        /// The answer instead of the default one, or `nil` for the default one.
        var answer: @Sendable (_ method: Method, _ channel: UInt16, _ count: Int) -> [AMQPFrame]? = { _, _, _ in nil }
    }

    struct Seen: Sendable {
        var methods: [Method] = []
        var routingKeys: [String] = []
        /// The clients' ports, in the order of their connections.
        var ports: [in_port_t] = []
        var isFrozen = false
    }

    let port: Int
    private let state = Locked(Seen())

    var seen: Seen { state.withLock { $0 } }
    var connections: Int { seen.ports.count }

    /// Stops answering permanently.
    func freeze() { state.withLock { $0.isFrozen = true } }

    init(_ behaviour: Behaviour = Behaviour()) throws {
        let listener = try listenOnLoopback()
        port = listener.port
        let problem = startDetachedThread(name: "test-peer", stackSize: 1 << 20) { [weak self] in
            defer { close(listener.descriptor) }
            var request = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
            while self != nil {
                guard poll(&request, 1, 20) == 1 else { continue }
                let client = accept(listener.descriptor, nil, nil)
                guard client >= 0 else { continue }
                _ = startDetachedThread(name: "test-peer", stackSize: 1 << 20) { [weak self] in
                    defer { close(client) }
                    Talk(client, behaviour, { self }).run()
                }
            }
        }
        try #require(problem == 0)
    }

    fileprivate func note(_ body: (inout Seen) -> Void) { state.withLock { body(&$0) } }

    /// A connection, which is served by a separate thread.
    private final class Talk {
        private let socket: FrameSocket
        private let behaviour: Behaviour
        private let peer: () -> FakePeer?
        private var counts: [Method: Int] = [:]
        private var tags: [UInt16: UInt64] = [:]
        private var confirms: Set<UInt16> = []
        private var missing: [UInt16: UInt64] = [:]

        init(_ descriptor: Int32, _ behaviour: Behaviour, _ peer: @escaping () -> FakePeer?) {
            self.socket = FrameSocket(descriptor: descriptor)
            self.behaviour = behaviour
            self.peer = peer
        }

        func run() {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            _ = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getpeername(socket.descriptor, $0, &length)
                }
            }
            peer()?.note { $0.ports.append(in_port_t(bigEndian: address.sin_port)) }
            guard socket.read(8) != nil else { return }
            reply(0, 10, 10) { [behaviour] bytes in
                bytes.octet(0)
                bytes.octet(9)
                bytes.longString(behaviour.serverProperties)
                bytes.longString(Array("PLAIN".utf8))
                bytes.longString(Array("en_US".utf8))
            }
            while let peer = peer() {
                // A frozen peer only waits for its end, or that of the connection.
                let isFrozen = peer.seen.isFrozen
                var request = pollfd(fd: socket.descriptor, events: isFrozen ? 0 : Int16(POLLIN), revents: 0)
                guard poll(&request, 1, 20) == 1 else { continue }
                if isFrozen { return }
                guard let frame = socket.readFrame() else { return }
                if peer.seen.isFrozen { continue }
                handle(frame, peer)
            }
        }

        private func reply(
            _ channel: UInt16,
            _ classID: UInt16,
            _ methodID: UInt16,
            _ write: (inout AMQPBytes) -> Void = { _ in }
        ) {
            socket.write(AMQPFrame(channel: channel, payload: AMQPBytes.method(classID, methodID, write)).encoded)
        }

        private func handle(_ frame: AMQPFrame, _ peer: FakePeer) {
            var reader = AMQPReader(frame.payload)
            switch frame.type {
            case AMQPFrame.header:
                _ = reader.long()
                content(reader.longlong(), on: frame.channel)
            case AMQPFrame.body:
                content((missing[frame.channel] ?? 0) - UInt64(frame.payload.count), on: frame.channel)
            default:
                let method = Method(reader.short(), reader.short())
                counts[method, default: 0] += 1
                var routingKey: String?
                if method == .publish {
                    _ = reader.short()
                    _ = reader.shortString()
                    routingKey = reader.shortString()
                }
                peer.note { seen in
                    seen.methods.append(method)
                    if let routingKey { seen.routingKeys.append(routingKey) }
                }
                if method == behaviour.freezesAt { return peer.freeze() }
                if let answer = behaviour.answer(method, frame.channel, counts[method] ?? 0) {
                    for frame in answer { socket.write(frame.encoded) }
                } else {
                    sayYes(to: method, on: frame.channel)
                }
            }
        }

        private func content(_ missing: UInt64, on channel: UInt16) {
            self.missing[channel] = missing
            guard missing == 0, confirms.contains(channel) else { return }
            tags[channel, default: 0] += 1
            let tag = tags[channel] ?? 0
            reply(channel, 60, 80) { bytes in
                bytes.longlong(tag)
                bytes.octet(0)
            }
        }

        private func sayYes(to method: Method, on channel: UInt16) {
            switch (method.classID, method.methodID) {
            case (10, 11):
                reply(0, 10, 30) { [behaviour] bytes in
                    bytes.short(behaviour.channelMaximum)
                    bytes.long(behaviour.frameMaximum)
                    bytes.short(0)
                }
            case (10, 40): reply(0, 10, 41) { $0.shortString("") }
            case (10, 50): reply(0, 10, 51)
            case (20, 10): reply(channel, 20, 11) { $0.longString([]) }
            case (20, 40): reply(channel, 20, 41)
            case (40, 10), (40, 20), (40, 30), (50, 20), (60, 10):
                reply(channel, method.classID, method.methodID + 1)
            case (50, 10):
                reply(channel, 50, 11) { bytes in
                    bytes.shortString("q")
                    bytes.long(0)
                    bytes.long(1)
                }
            case (60, 20): reply(channel, 60, 21) { $0.shortString("tag") }
            case (60, 30): reply(channel, 60, 31) { $0.shortString("tag") }
            case (60, 70): reply(channel, 60, 72) { $0.shortString("") }
            case (85, 10):
                confirms.insert(channel)
                tags[channel] = 0
                reply(channel, 85, 11)
            default: break
            }
        }
    }
}

extension AMQPFrame {
    /// Returns the frame with which the broker closes a channel.
    static func channelClose(_ channel: UInt16, _ code: UInt16, _ text: String) -> AMQPFrame {
        AMQPFrame(
            channel: channel,
            payload: AMQPBytes.method(20, 40) { bytes in
                bytes.short(code)
                bytes.shortString(text)
                bytes.long(0)
            }
        )
    }

    /// Returns the frames of a delivery with an empty body.
    static func delivery(_ channel: UInt16, tag: UInt64, routingKey: String) -> [AMQPFrame] {
        let method = AMQPBytes.method(60, 60) { bytes in
            bytes.shortString("tag")
            bytes.longlong(tag)
            bytes.octet(0)
            bytes.shortString("events")
            bytes.shortString(routingKey)
        }
        var header = AMQPBytes()
        header.long(60 << 16)
        header.longlong(0)
        header.short(0)
        return [
            AMQPFrame(channel: channel, payload: method),
            AMQPFrame(type: AMQPFrame.header, channel: channel, payload: header.bytes),
        ]
    }
}
