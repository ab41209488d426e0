extension String {
    /// The text on one line, safe for logs and terminals: every control character, line separator and invisible
    /// formatting character is written as `\u{…}`.
    ///
    /// Identifiers, topics and error texts come from other systems, which could otherwise forge log lines or send
    /// escape sequences to a terminal.
    package var printable: String {
        // Most texts are plain ASCII and are returned unchanged.
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

    /// Returns ``printable``, truncated to `limit` bytes. A longer text is cut before that, too, so that its length does not
    /// matter.
    package func printable(upToUTF8Length limit: Int) -> String {
        prefixed(toUTF8Length: limit).printable.prefixed(toUTF8Length: limit)
    }

    /// Creates the description of a value for a log record or a health report: printable and truncated to
    /// ``maximumLoggedLength`` bytes.
    package init(loggable value: Any) {
        self = "\(value)".printable(upToUTF8Length: Self.maximumLoggedLength)
    }

    /// The maximum number of bytes of an error text in a log record.
    package static var maximumLoggedLength: Int { 2048 }

    /// The text in quotes for an error message, printable and truncated to ``maximumQuotedLength`` bytes.
    package var quotedForError: String {
        let limit = Self.maximumQuotedLength
        let shown = utf8.count > limit ? prefixed(toUTF8Length: limit) + "…" : self
        return "\"\(shown.printable)\""
    }

    /// The maximum number of bytes of a text that an error message quotes.
    package static var maximumQuotedLength: Int { 120 }

    /// Returns the longest prefix that has at most `limit` bytes and splits no code point.
    package func prefixed(toUTF8Length limit: Int) -> String {
        if utf8.count <= limit { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        // By code points, not characters, because one character may be as long as the text.
        while end > startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}

extension Unicode.Scalar {
    /// A Boolean value indicating whether a log reader or a terminal would interpret the code point instead of showing
    /// it.
    fileprivate var isUnprintable: Bool {
        if isASCII { return value < 0x20 || value == 0x7F }
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: return true
        // Joiners are part of the spelling of several scripts and of emoji. The other marks change how text is
        // displayed.
        case .format: return value != 0x200C && value != 0x200D
        default: return false
        }
    }
}
