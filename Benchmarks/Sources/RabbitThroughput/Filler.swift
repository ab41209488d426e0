import EventBus

/// An event of 256 bytes that costs nothing to encode, so that only the bus is measured.
struct Filler: Event {
    static let topic: Topic = "bench.filler"
    static let size = 256

    var bytes: [UInt8]

    /// Creates an event with `number` in its first eight bytes.
    init(carrying number: UInt64) {
        bytes = [UInt8](repeating: 0, count: Self.size)
        for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(index))) }
    }

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    static func number(in bytes: [UInt8]) -> UInt64 {
        bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// A codec that passes the event's bytes unchanged.
struct FillerCodec: EventCodec {
    var contentType: String { "application/octet-stream" }

    func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        guard let filler = value as? Filler else { throw EventBusError(.encodingFailed, "not a filler") }
        return filler.bytes
    }

    func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        guard bytes.count == Filler.size, let filler = Filler(bytes: bytes) as? Value else {
            throw EventBusError(.decodingFailed, "not a filler")
        }
        return filler
    }
}
