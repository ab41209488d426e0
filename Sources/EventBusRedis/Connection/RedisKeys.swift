import EventBus

/// The names of keys: a prefix followed by segments that cannot be confused with each other, whatever they contain.
///
/// The keys of one resource share a hash tag, so that Redis Cluster stores them in one slot and scripts may access all
/// of them.
enum RedisKeys {
    /// Returns a hash tag made of `segments`: `{5:first6:second}`.
    ///
    /// Each segment is preceded by its length. Braces are escaped because a closing brace would end the tag. The
    /// percent sign is escaped because it is the escape character.
    static func tag(_ segments: String...) -> String {
        var tag = "{"
        for segment in segments { tag += "\(segment.utf8.count):\(escaped(segment, where: isEscaped))" }
        return tag + "}"
    }

    /// Returns the only segment of a tag made by ``tag(_:)``, or `nil` if the tag has another form.
    static func segment(of tag: Substring) -> String? {
        guard tag.first == "{", tag.last == "}", let colon = tag.firstIndex(of: ":") else { return nil }
        return unescaped(tag[tag.index(after: colon)...].dropLast())
    }

    /// Returns the text that ``escaped(_:where:)`` was called with, or `nil` if `text` is not a result of it.
    static func unescaped(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Returns `segment` with the bytes that satisfy `mustEscape` as hexadecimal digits after a percent sign.
    static func escaped(_ segment: String, where mustEscape: (UInt8) -> Bool) -> String {
        guard segment.utf8.contains(where: mustEscape) else { return segment }
        var bytes: [UInt8] = []
        for byte in segment.utf8 {
            if mustEscape(byte) {
                bytes += "%\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isEscaped(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "%")
    }
}

extension String {
    /// Returns `count` random numbers of sixteen hexadecimal digits each.
    static func randomHexadecimal(words count: Int) -> String {
        return (0..<count).map { _ in
            let digits = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

extension Duration {
    /// The duration in whole milliseconds, rounded down, but at least one.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = clampedToLongest.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        // Far more than any lease, but still a time that a server can add to its own.
        guard !overflow, product < 1 << 52 else { return 1 << 52 }
        return max(1, product + attoseconds / 1_000_000_000_000_000)
    }
}
