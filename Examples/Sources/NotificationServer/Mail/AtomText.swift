/// Text as it can stand before the `@` of an address or of a message id (RFC 5322, section 3.2.3: dot-atom).
enum AtomText {
    /// Spells any text with characters that need no quotes; different texts are spelled differently.
    ///
    /// Letters, digits, `_` and `-` stand for themselves, and so does a dot between two of them. Any other byte is
    /// written as `=` and two hexadecimal digits. So nothing in a name can end a header or begin another one.
    static func escaped(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var escaped = ""
        for (index, byte) in bytes.enumerated() {
            let isInnerDot =
                byte == UInt8(ascii: ".") && index > 0 && index < bytes.count - 1
                && bytes[index - 1] != UInt8(ascii: ".")
            if isPlain(byte) || isInnerDot {
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                escaped += "=" + byte.hexadecimal
            }
        }
        return escaped
    }

    /// Whether `text` is a name as it stands in an address, such as `orders` or `first.last`.
    static func isDotAtom(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.allSatisfy { part in
            !part.isEmpty && part.allSatisfy { isPlain($0) || "!#$%&'*+/=?^`{|}~".utf8.contains($0) }
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte.isASCIIAlphanumeric || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
    }
}

extension UInt8 {
    /// The byte as two upper-case hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16, uppercase: true)
        return self < 16 ? "0" + digits : digits
    }

    /// Whether it is a letter or digit of ASCII.
    var isASCIIAlphanumeric: Bool {
        switch self {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
