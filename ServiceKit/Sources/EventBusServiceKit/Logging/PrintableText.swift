extension String {
    /// The text on one line, safe for logs and terminals: every control character, line separator and invisible
    /// formatting character is written as `\u{…}`.
    var printable: String {
        if unicodeScalars.allSatisfy({ !$0.isUnprintable }) { return self }
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isUnprintable {
                text += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// Returns the text, or its beginning and an ellipsis if it has more than `limit` bytes. No code point is split.
    func cut(toUTF8Length limit: Int) -> String {
        if utf8.count <= limit { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        // By code points, not characters, because one character may be as long as the text.
        while end > startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(self[..<end]) + "…"
    }
}

extension Unicode.Scalar {
    /// A Boolean value indicating whether a log reader or a terminal would interpret the code point instead of showing
    /// it. Joiners are part of the spelling of several scripts and of emoji.
    var isUnprintable: Bool {
        if isASCII { return value < 0x20 || value == 0x7F }
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        case .format: return value != 0x200C && value != 0x200D
        default: return false
        }
    }
}
