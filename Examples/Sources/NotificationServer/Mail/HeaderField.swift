import FoundationEssentials

/// A header of a message, as lines without their ends. No text can escape from its field.
struct HeaderField: Hashable, Sendable {
    /// The lines. All but the first begin with a space.
    let lines: [String]

    /// Creates a field with a value that is already valid, such as an address.
    init(_ name: String, structured value: String) {
        lines = ["\(name): \(value)"]
    }

    /// Creates a field for people to read. Text outside plain ASCII is written as encoded words (RFC 2047).
    init(_ name: String, text: String) {
        let scalars = text.unicodeScalars.map { Self.isControl($0) ? " " : $0 }
        let isPlain =
            scalars.allSatisfy(\.isASCII) && !text.contains("=?") && scalars.first != " " && scalars.last != " "
            && name.utf8.count + 2 + scalars.count <= Self.maximumLength
        if isPlain {
            lines = ["\(name): " + String(String.UnicodeScalarView(scalars))]
        } else {
            let words = Self.chunks(scalars).map { "=?utf-8?B?\(Data($0.utf8).base64EncodedString())?=" }
            lines = words.enumerated().map { index, word in index == 0 ? "\(name): \(word)" : " \(word)" }
        }
    }

    /// The recommended maximum length of a line, without its end.
    private static let maximumLength = 78
    /// The number of bytes of text in a word that fits on such a line after a name of ten characters, or a space.
    private static let bytesOfWord = 39

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
    }

    /// Splits the text into pieces that split no character.
    private static func chunks(_ scalars: [Unicode.Scalar]) -> [String] {
        var chunks = [""]
        var length = 0
        for scalar in scalars {
            let width = UTF8.width(scalar)
            if length + width > bytesOfWord {
                chunks.append("")
                length = 0
            }
            chunks[chunks.count - 1].unicodeScalars.append(scalar)
            length += width
        }
        return chunks
    }
}
