/// A value that no library would send, in the encoding of a field table.
enum NastyValue: Sendable {
    case text([UInt8])
    /// A byte array, which some brokers take for a text of the same bytes.
    case bytes([UInt8])
    /// A value of a type that few clients send, by its tag and in its encoding.
    case raw(Character, [UInt8])
    case integer(Int64)
    case boolean(Bool)
    case double(UInt64)
    case timestamp(UInt64)
    case decimal(scale: UInt8, UInt32)
    case void
    case array([NastyValue])
    case table([(name: String, value: NastyValue)])

    static func text(_ text: String) -> NastyValue { .text(Array(text.utf8)) }

    /// Texts that are too long, no text, or would be interpreted by a terminal, a log or another program.
    static let texts: [NastyValue] = [
        .text(""),
        .text("a\nb\r\u{1B}[2Jc\u{9B}31md\u{202E}e\u{2028}f\u{0}g\u{7F}"),
        .text([UInt8](repeating: 0xFF, count: 40)),
        .text([UInt8](repeating: 0xFF, count: 255)),
        .text(String(repeating: "e\u{301}", count: 80)),
        .text("0"),
        .text("a\u{0}"),
        .text("-9223372036854775808"),
        .text("\"}],\"x\":{"),
    ]

    /// Values of other types.
    static let others: [NastyValue] = [
        .integer(0), .integer(-1), .integer(1), .integer(1 << 40), .integer(.min), .integer(.max), .boolean(true),
        .double(0x7FF8_0000_0000_0000), .double(0xFFF0_0000_0000_0000), .timestamp(.max), .decimal(scale: 255, .max),
        .void, .array([]), .array([.text("a"), .integer(1)]), .table([]),
        .table([("a", .text("\u{1B}")), ("a", .integer(1))]), nested(depth: 100),
        .text(String(repeating: "x\u{9B}", count: 5_000)), .text(String(repeating: "x", count: 256)),
        .text(String(repeating: "x", count: 70_000)), .bytes([]), .bytes(Array("expired".utf8)),
        .bytes([UInt8](repeating: 0xFF, count: 300)), .raw("b", [0x80]), .raw("B", [0xFF]), .raw("s", [0x80, 0]),
        .raw("u", [0xFF, 0xFF]), .raw("I", [0x80, 0, 0, 0]), .raw("i", [0xFF, 0xFF, 0xFF, 0xFF]),
        .raw("f", [0x7F, 0xC0, 0, 0]), .array([.void, .bytes([0]), .raw("b", [1])]),
    ]

    private static func nested(depth: Int) -> NastyValue {
        (0..<depth).reduce(.integer(1)) { value, level in
            level.isMultiple(of: 2) ? .array([value]) : .table([("a", value)])
        }
    }

    /// The bytes of the value, if it is a text that fits into a property.
    var shortString: [UInt8]? {
        guard case .text(let bytes) = self, bytes.count <= 255 else { return nil }
        return bytes
    }
}

extension AMQPBytes {
    mutating func value(_ value: NastyValue) {
        switch value {
        case .text(let bytes):
            octet(UInt8(ascii: "S"))
            longString(bytes)
        case .bytes(let bytes):
            octet(UInt8(ascii: "x"))
            longString(bytes)
        case .raw(let tag, let encoding):
            octet(tag.asciiValue ?? 0)
            bytes += encoding
        case .integer(let number):
            octet(UInt8(ascii: "l"))
            longlong(UInt64(bitPattern: number))
        case .boolean(let flag):
            octet(UInt8(ascii: "t"))
            octet(flag ? 1 : 0)
        case .double(let bits):
            octet(UInt8(ascii: "d"))
            longlong(bits)
        case .timestamp(let seconds):
            octet(UInt8(ascii: "T"))
            longlong(seconds)
        case .decimal(let scale, let number):
            octet(UInt8(ascii: "D"))
            octet(scale)
            long(number)
        case .void:
            octet(UInt8(ascii: "V"))
        case .array(let values):
            octet(UInt8(ascii: "A"))
            var nested = AMQPBytes()
            for value in values { nested.value(value) }
            longString(nested.bytes)
        case .table(let members):
            octet(UInt8(ascii: "F"))
            table(members)
        }
    }

    mutating func table(_ members: [(name: String, value: NastyValue)]) {
        var nested = AMQPBytes()
        for (name, value) in members {
            nested.shortString(name)
            nested.value(value)
        }
        longString(nested.bytes)
    }
}
