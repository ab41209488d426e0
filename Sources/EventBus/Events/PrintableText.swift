extension String {
    /// The text on one line, safe to log or to show on a terminal: every control character, line separator and
    /// invisible formatting mark is written as `\u{…}`.
    ///
    /// Identifiers, topics and error texts come from other systems, which could otherwise forge log lines or send
    /// escape sequences to whoever reads them.
    package var printable: String {
        // Most texts are plain ASCII and stay as they are.
        if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return self }
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

    /// The text in quotes for an error message: printable, and cut to ``maximumQuotedLength`` bytes.
    package var quotedForError: String {
        let limit = Self.maximumQuotedLength
        let shown = utf8.count > limit ? prefixed(toUTF8Length: limit) + "…" : self
        return "\"\(shown.printable)\""
    }

    /// How many bytes of a text an error message quotes.
    package static var maximumQuotedLength: Int { 120 }

    /// The longest beginning that has at most `limit` bytes and cuts no code point.
    package func prefixed(toUTF8Length limit: Int) -> String {
        if utf8.count <= limit { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        // By code points, not characters: one character may be as long as the text.
        while end > startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}

extension Unicode.Scalar {
    /// Whether a log reader or a terminal would act on the code point instead of showing it.
    fileprivate var isUnprintable: Bool {
        if isASCII { return value < 0x20 || value == 0x7F }
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        // Joiners belong to the spelling of several scripts and to emoji; the other marks change what is shown.
        case .format: return value != 0x200C && value != 0x200D
        default: return false
        }
    }
}
