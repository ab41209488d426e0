/// The name of a stored body: 64 hexadecimal digits, derived from the event's identity and the body.
public struct ClaimCheckName: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
    /// The number of digits.
    static let length = 64

    /// The digits 0 to 9 and a to f.
    public let rawValue: String

    /// Creates a name from its digits. Returns `nil` if there are not exactly 64, or if others are among them.
    public init?(rawValue: String) {
        let isName = rawValue.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard isName, rawValue.utf8.count == Self.length else { return nil }
        self.rawValue = rawValue
    }

    /// Creates the name of an event's body.
    init(of body: [UInt8], event id: EventID) {
        var hash = SHA256()
        let text = id.rawValue.utf8
        // With its length, so that no other event and body have the same bytes.
        hash.append(UInt64(text.count))
        hash.append(text.span)
        hash.append(body.span)
        let words = hash.finish()
        var digits: [UInt8] = []
        for index in words.indices {
            for shift in stride(from: 28, through: 0, by: -4) {
                let digit = UInt8(truncatingIfNeeded: words[index] >> UInt32(shift)) & 0xF
                digits.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
        self.rawValue = String(decoding: digits, as: UTF8.self)
    }

    /// The digits.
    public var description: String { rawValue }
}
