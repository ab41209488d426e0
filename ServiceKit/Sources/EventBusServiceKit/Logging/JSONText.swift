/// A writer of one JSON object as bytes, with its members in the given order.
struct JSONText {
    /// The maximum length of a text in bytes. Longer ones are truncated, because pipes and log stores have limits.
    static let maximumTextLength = 16_384

    private(set) var bytes: [UInt8]
    private var needsComma = false

    /// Creates an object without members.
    init(reserving capacity: Int = 512) {
        bytes = []
        bytes.reserveCapacity(capacity)
        bytes.append(UInt8(ascii: "{"))
    }

    /// Returns the completed object with a line end.
    consuming func line() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    mutating func member(_ key: String, _ value: String) {
        begin(key)
        string(value)
    }

    mutating func member(_ key: String, _ value: Int64) {
        begin(key)
        bytes.append(contentsOf: String(value).utf8)
    }

    mutating func member(_ key: String, _ value: Double) {
        begin(key)
        // JSON has no infinity and no NaN.
        if value.isFinite { bytes.append(contentsOf: "\(value)".utf8) } else { string("\(value)") }
    }

    mutating func member(_ key: String, _ value: Bool) {
        begin(key)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    mutating func null(_ key: String) {
        begin(key)
        bytes.append(contentsOf: "null".utf8)
    }

    /// Adds a member that is an object.
    mutating func object(_ key: String, _ members: (inout JSONText) -> Void) {
        begin(key)
        nested(members)
    }

    /// Adds a member that is an array of objects.
    mutating func array<Element>(
        _ key: String,
        of elements: some Collection<Element>,
        _ members: (inout JSONText, Element) -> Void
    ) {
        begin(key)
        bytes.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            nested { members(&$0, element) }
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func nested(_ members: (inout JSONText) -> Void) {
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
        members(&self)
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    private mutating func begin(_ key: String) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        string(key)
        bytes.append(UInt8(ascii: ":"))
    }

    /// Adds a text. Control characters and invisible formatting characters are escaped, because a terminal or a viewer
    /// of logs would interpret them.
    private mutating func string(_ text: String) {
        var text = text.cut(toUTF8Length: Self.maximumTextLength)
        if !text.utf8.allSatisfy({ $0 < 0x80 }), text.unicodeScalars.contains(where: Self.needsEscape) {
            return stringWithMarks(text)
        }
        bytes.append(UInt8(ascii: "\""))
        text.withUTF8 { utf8 in
            // The parts without escapes, which are most of any text, are copied in one step.
            var copied = 0
            for (index, byte) in utf8.enumerated() where Self.needsEscape(byte) {
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[copied..<index]))
                escape(byte)
                copied = index + 1
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[copied...]))
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func stringWithMarks(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            if scalar.isASCII, Self.needsEscape(UInt8(scalar.value)) {
                escape(UInt8(scalar.value))
            } else if Self.needsEscape(scalar) {
                for unit in String(scalar).utf16 {
                    bytes.append(contentsOf: "\\u".utf8)
                    for shift in [12, 8, 4, 0] { bytes.append(Self.hexDigit(UInt8(unit >> shift & 0xF))) }
                }
            } else {
                bytes.append(contentsOf: String(scalar).utf8)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func needsEscape(_ scalar: Unicode.Scalar) -> Bool { !scalar.isASCII && scalar.isUnprintable }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
        case UInt8(ascii: "\n"): bytes.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): bytes.append(UInt8(ascii: "t"))
        default:
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(Self.hexDigit(byte >> 4))
            bytes.append(Self.hexDigit(byte & 0xF))
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
