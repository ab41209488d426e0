/// Text that is allowed before the `@` of an address or message id (RFC 5322, section 3.2.3: dot-atom).
enum AtomText {
    /// Encodes any text with characters that need no quotes. Different texts have different encodings.
    ///
    /// Letters, digits, `_`, `-` and a dot between two of them are unchanged. Any other byte becomes `=` and two
    /// hexadecimal digits. Nothing in a name can therefore end a header or start another one.
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

    /// Returns a Boolean value indicating whether `text` is valid in an address, such as `orders` or `first.last`.
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
    /// The byte as two uppercase hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16, uppercase: true)
        return self < 16 ? "0" + digits : digits
    }

    /// A Boolean value indicating whether it is an ASCII letter or digit.
    var isASCIIAlphanumeric: Bool {
        switch self {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
