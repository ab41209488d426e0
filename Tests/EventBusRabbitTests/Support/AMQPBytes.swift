import Glibc

/// A hand-written encoder of AMQP, for data that the library would not send.
struct AMQPBytes {
    var bytes: [UInt8] = []

    mutating func octet(_ value: UInt8) { bytes.append(value) }
    mutating func short(_ value: UInt16) { big(value) }
    mutating func long(_ value: UInt32) { big(value) }
    mutating func longlong(_ value: UInt64) { big(value) }

    mutating func shortString(_ value: [UInt8]) {
        octet(UInt8(value.count))
        bytes += value
    }

    mutating func shortString(_ value: String) { shortString(Array(value.utf8)) }

    mutating func longString(_ value: [UInt8]) {
        long(UInt32(value.count))
        bytes += value
    }

    private mutating func big(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes += $0 }
    }

    /// Returns the payload of a method.
    static func method(_ classID: UInt16, _ methodID: UInt16, _ write: (inout AMQPBytes) -> Void = { _ in }) -> [UInt8]
    {
        var payload = AMQPBytes()
        payload.short(classID)
        payload.short(methodID)
        write(&payload)
        return payload.bytes
    }
}

/// A reader of the output of ``AMQPBytes``. It reads zeros beyond the end.
struct AMQPReader {
    var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    mutating func octet() -> UInt8 { rest.popFirst() ?? 0 }
    mutating func short() -> UInt16 { UInt16(octet()) << 8 | UInt16(octet()) }
    mutating func long() -> UInt32 { UInt32(short()) << 16 | UInt32(short()) }
    mutating func longlong() -> UInt64 { UInt64(long()) << 32 | UInt64(long()) }
    mutating func shortString() -> String { String(decoding: take(Int(octet())), as: UTF8.self) }
    mutating func longString() -> [UInt8] { Array(take(Int(long()))) }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}

/// A frame.
struct AMQPFrame {
    static let method: UInt8 = 1
    static let header: UInt8 = 2
    static let body: UInt8 = 3

    var type = AMQPFrame.method
    var channel: UInt16
    var payload: [UInt8]

    var encoded: [UInt8] {
        var bytes = AMQPBytes()
        bytes.octet(type)
        bytes.short(channel)
        bytes.longString(payload)
        bytes.octet(0xCE)
        return bytes.bytes
    }
}

/// A blocking socket that transfers frames. One thread uses it.
struct FrameSocket {
    let descriptor: Int32

    func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let length = bytes.withUnsafeMutableBytes {
                recv(descriptor, UnsafeMutableRawBufferPointer(rebasing: $0[got...]).baseAddress, count - got, 0)
            }
            if length < 0, errno == EINTR { continue }
            guard length > 0 else { return nil }
            got += length
        }
        return bytes
    }

    /// Returns the next frame that is not a heartbeat, or `nil` at the end.
    func readFrame() -> AMQPFrame? {
        while let head = read(7) {
            var reader = AMQPReader(head)
            let (type, channel, size) = (reader.octet(), reader.short(), reader.long())
            guard let payload = read(Int(size) + 1) else { return nil }
            if type != 8 { return AMQPFrame(type: type, channel: channel, payload: Array(payload.dropLast())) }
        }
        return nil
    }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let length = bytes[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if length < 0, errno == EINTR { continue }
            guard length > 0 else { return false }
            sent += length
        }
        return true
    }
}
