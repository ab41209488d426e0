import ConnectionThread
import EventBus
import Glibc
import Testing

/// A minimal broker. It answers every method correctly, except for the one with a scripted answer.
final class ScriptedBroker: Sendable {
    /// The stage up to which the broker behaves.
    enum Stage: Int, CaseIterable, Sendable {
        case greeting, start, tune, open, afterLogin, afterFirstReply, afterConsume
    }

    let port: Int
    private let listener: Int32
    private let answered = Answered()

    /// The number of times that it gave the scripted answer.
    var answers: Int { answered.count.withLock { $0 } }

    private final class Answered: Sendable {
        let count = Locked(0)
    }

    /// Behaves until `stage`, then sends `answer`. Then it closes the connection if `hangsUp` is `true`.
    init(until stage: Stage, answer: [UInt8], hangsUp: Bool) throws {
        let (descriptor, port) = try listenOnLoopback()
        (self.listener, self.port) = (descriptor, port)
        let answered = answered
        let problem = startDetachedThread(name: "test-broker", stackSize: 1 << 20) {
            while true {
                let client = accept(descriptor, nil, nil)
                guard client >= 0 else { return }
                _ = startDetachedThread(name: "test-broker", stackSize: 1 << 20) {
                    let session = Session(client: client)
                    if session.behave(until: stage) {
                        _ = sendAll(answer, to: client)
                        answered.count.withLock { $0 += 1 }
                        if !hangsUp { session.readUntilTheEnd() }
                    }
                    close(client)
                }
            }
        }
        try #require(problem == 0)
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    /// Returns a complete frame.
    static func frame(type: UInt8, channel: UInt16, _ payload: [UInt8], end: UInt8 = 0xCE) -> [UInt8] {
        [type] + big(channel) + big(UInt32(payload.count)) + payload + [end]
    }

    static func method(_ classID: UInt16, _ methodID: UInt16, channel: UInt16, _ arguments: [UInt8] = []) -> [UInt8] {
        frame(type: 1, channel: channel, big(classID) + big(methodID) + arguments)
    }

    /// Returns the beginning of every connection, with these properties of the server.
    static func start(properties: [UInt8] = []) -> [UInt8] {
        let arguments = [0, 9] + big(UInt32(properties.count)) + properties + long("PLAIN") + long("en_US")
        return method(10, 10, channel: 0, arguments)
    }

    static func long(_ text: String) -> [UInt8] { big(UInt32(text.utf8.count)) + Array(text.utf8) }

    static func short(_ text: String) -> [UInt8] { [UInt8(truncatingIfNeeded: text.utf8.count)] + Array(text.utf8) }

    static func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    private struct Session {
        let client: Int32

        func readUntilTheEnd() {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while read(client, &buffer, buffer.count) > 0 {}
        }

        private func take(_ count: Int) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: count)
            var filled = 0
            while filled < count {
                let length = bytes[filled...].withUnsafeMutableBytes { read(client, $0.baseAddress, $0.count) }
                guard length > 0 else { return nil }
                filled += length
            }
            return bytes
        }

        /// Returns the next method. Other frames are skipped.
        private func takeMethod() -> (channel: UInt16, classID: UInt16, methodID: UInt16)? {
            while let header = take(7) {
                let size = header[3...].reduce(0) { $0 << 8 | Int($1) }
                guard let payload = take(size + 1) else { return nil }
                guard header[0] == 1, payload.count >= 5 else { continue }
                func number(_ index: Int) -> UInt16 { UInt16(payload[index]) << 8 | UInt16(payload[index + 1]) }
                return (UInt16(header[1]) << 8 | UInt16(header[2]), number(0), number(2))
            }
            return nil
        }

        /// Answers correctly until `stage`. Returns a Boolean value indicating whether the stage was reached.
        func behave(until stage: Stage) -> Bool {
            if stage == .greeting { return true }
            guard take(8) != nil else { return false }
            if stage == .start { return true }
            guard sendAll(ScriptedBroker.start(), to: client), takeMethod() != nil else { return false }
            if stage == .tune { return true }
            let tune = big(UInt16(2047)) + big(UInt32(131_072)) + big(UInt16(10))
            guard sendAll(method(10, 30, channel: 0, tune), to: client), takeMethod() != nil, takeMethod() != nil else {
                return false
            }
            if stage == .open { return true }
            guard sendAll(method(10, 41, channel: 0, [0]), to: client) else { return false }
            if stage == .afterLogin { return true }
            while let (channel, classID, methodID) = takeMethod() {
                guard let reply = reply(channel, classID, methodID) else { continue }
                guard sendAll(reply, to: client) else { return false }
                if stage == .afterFirstReply { return true }
                if stage == .afterConsume, classID == 60, methodID == 20 { return true }
            }
            return false
        }

        private func reply(_ channel: UInt16, _ classID: UInt16, _ methodID: UInt16) -> [UInt8]? {
            let arguments: [UInt8]
            switch (classID, methodID) {
            case (20, 10): arguments = long("")
            case (50, 10): arguments = short("q") + big(UInt32(0)) + big(UInt32(0))
            case (60, 20): arguments = short("tag")
            case (20, 40), (40, 10), (40, 30), (50, 20), (50, 50), (60, 10), (85, 10): arguments = []
            default: return nil
            }
            // The reply to exchange.bind and queue.unbind has the next number, as the replies to all these methods
            // have.
            return method(classID, methodID + 1, channel: channel, arguments)
        }
    }
}
