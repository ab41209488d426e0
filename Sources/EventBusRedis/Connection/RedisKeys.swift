import EventBus

/// Names of keys: a prefix, then segments that cannot be mistaken for each other, whatever they hold.
///
/// What belongs to one resource shares a hash tag, so that Redis Cluster keeps it in one place and scripts may touch all
/// of it.
enum RedisKeys {
    /// A hash tag made of `segments`: `{5:first6:second}`.
    ///
    /// Each segment is preceded by its length. Braces are escaped, since a closing one would end the tag, and with them
    /// the percent sign that escapes.
    static func tag(_ segments: String...) -> String {
        var tag = "{"
        for segment in segments { tag += "\(segment.utf8.count):\(escaped(segment))" }
        return tag + "}"
    }

    /// The one segment of a tag made by ``tag(_:)``; `nil` if it was not made so.
    static func segment(of tag: Substring) -> String? {
        guard tag.first == "{", tag.last == "}", let colon = tag.firstIndex(of: ":") else { return nil }
        let text = tag[tag.index(after: colon)...].dropLast()
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

    private static func escaped(_ segment: String) -> String {
        guard segment.utf8.contains(where: isEscaped) else { return segment }
        var bytes: [UInt8] = []
        for byte in segment.utf8 {
            if isEscaped(byte) {
                bytes += "%\(String(byte, radix: 16))".utf8
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
    /// Sixteen hexadecimal digits for each of `count` random numbers.
    static func randomHexadecimal(words count: Int) -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in
            let digits = String(UInt64.random(in: .min ... .max, using: &generator), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

extension Duration {
    /// Whole milliseconds, rounded down; at least one.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = clampedToLongest.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        // Far beyond any lease, and still a time that a server can add to its own.
        guard !overflow, product < 1 << 52 else { return 1 << 52 }
        return max(1, product + attoseconds / 1_000_000_000_000_000)
    }
}
