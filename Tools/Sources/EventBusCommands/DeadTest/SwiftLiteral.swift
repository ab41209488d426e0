import EventBus

/// Literals of Swift for values of an event.
enum SwiftLiteral {
    /// Returns the literal of a text. No text can end it early or hide a character.
    static func text(_ text: String) -> String {
        var literal = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": literal += "\\\(scalar)"
            case "\n": literal += "\\n"
            case "\r": literal += "\\r"
            case "\t": literal += "\\t"
            default: literal += isPlain(scalar) ? "\(scalar)" : "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return literal + "\""
    }

    /// Returns the literal of a text, without escapes if it has only plain characters.
    static func readableText(_ text: String) -> String {
        guard text.unicodeScalars.allSatisfy(isPlain) else { return self.text(text) }
        // More number signs than any run of them in the text.
        var (longest, run) = (0, 0)
        for character in text.utf8 {
            run = character == UInt8(ascii: "#") ? run + 1 : 0
            longest = max(longest, run)
        }
        let signs = String(repeating: "#", count: longest + 1)
        return "\(signs)\"\(text)\"\(signs)"
    }

    /// Returns an expression for bytes.
    static func bytes(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return "Array(\(readableText(text)).utf8)" }
        return "[" + bytes.map { "\($0)" }.joined(separator: ", ") + "]"
    }

    /// Returns the expression for a header's value.
    static func header(_ value: HeaderValue) -> String {
        switch value {
        case .string(let text): ".string(\(self.text(text)))"
        case .int(let number): ".int(\(number))"
        case .double(let number): ".double(\(self.number(number)))"
        case .bool(let flag): ".bool(\(flag))"
        case .bytes(let bytes): ".bytes(\(self.bytes(bytes)))"
        case .timestamp(let seconds): ".timestamp(seconds: \(seconds))"
        case .array(let values): ".array([\(values.map(header).joined(separator: ", "))])"
        case .table(let table): ".table(\(self.table(table)))"
        case .null: ".null"
        }
    }

    /// Returns the expression for a number. One that is not finite has no literal.
    private static func number(_ number: Double) -> String {
        if number.isNaN { return ".nan" }
        return number.isInfinite ? (number < 0 ? "-.infinity" : ".infinity") : "\(number)"
    }

    /// Returns the literal of a table, in the order of the names.
    static func table(_ table: HeaderTable) -> String {
        if table.isEmpty { return "[:]" }
        let members = table.sorted { $0.name < $1.name }.map { "\(text($0.name)): \(header($0.value))" }
        return "[" + members.joined(separator: ", ") + "]"
    }

    /// Returns a Boolean value indicating whether a literal may contain the character as it is.
    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value < 0x7F }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
        default: return true
        }
    }
}
