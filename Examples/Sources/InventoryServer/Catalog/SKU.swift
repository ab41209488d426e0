/// The name of a product that can be used in a path.
struct SKU: Hashable, Sendable {
    /// The rule for a SKU, as text.
    static let rule = "it has to be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
    /// The rule for a SKU, as a regular expression.
    static let pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

    /// The name.
    let rawValue: String

    /// Creates a name from `text`, or returns `nil` if it is invalid.
    init?(_ text: String) {
        let bytes = text.utf8
        guard (1...64).contains(bytes.count), bytes.first.map(Self.isAlphanumeric) == true,
            bytes.allSatisfy({ Self.isAlphanumeric($0) || "._-".utf8.contains($0) })
        else { return nil }
        rawValue = text
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
