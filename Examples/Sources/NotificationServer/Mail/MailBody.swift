/// The text of a message, encoded so that it arrives as it is: in a mailbox file and over SMTP alike.
///
/// Plain text goes as it is. Anything else is written as quoted-printable (RFC 2045, section 6.7): characters beyond
/// ASCII, control characters, lines that are too long, and lines that begin with `From `, possibly behind `>`s, which a
/// reader of mailbox files would take for the beginning of a message, or for a quoted one. So nothing ever has to be
/// quoted in the file, where readers do not agree on how to undo it.
struct MailBody: Hashable, Sendable {
    /// How the lines are encoded.
    enum Encoding: String, Hashable, Sendable {
        case sevenBit = "7bit"
        case quotedPrintable = "quoted-printable"
    }

    /// The longest line, without its end.
    static let maximumLength = 76

    /// How the lines are encoded.
    let encoding: Encoding
    /// The encoded lines, without their ends; each is ASCII.
    let lines: [String]

    /// The body for a text, whose lines end with CR, LF or both.
    init(_ text: String) {
        let lines = Self.lines(of: text)
        if lines.allSatisfy(Self.isPlain) {
            encoding = .sevenBit
            self.lines = lines.map { String(decoding: $0, as: UTF8.self) }
        } else {
            encoding = .quotedPrintable
            self.lines = lines.flatMap(Self.quoted)
        }
    }

    private static func lines(of text: String) -> [[UInt8]] {
        var lines: [[UInt8]] = [[]]
        var endsWithCR = false
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\n") where endsWithCR: break
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): lines.append([])
            default: lines[lines.count - 1].append(byte)
            }
            endsWithCR = byte == UInt8(ascii: "\r")
        }
        // What follows the last end is a line only if there is something.
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    private static func isPlain(_ line: [UInt8]) -> Bool {
        line.count <= maximumLength && line.allSatisfy { (0x20...0x7E).contains($0) }
            && line.last != UInt8(ascii: " ") && !looksLikeMessage(line)
    }

    private static func looksLikeMessage(_ line: [UInt8]) -> Bool {
        line.drop { $0 == UInt8(ascii: ">") }.starts(with: "From ".utf8)
    }

    /// The lines that one line becomes; all but the last end with a `=`, which takes their end away.
    private static func quoted(_ line: [UInt8]) -> [String] {
        var lines: [String] = []
        var current = ""
        for (index, byte) in line.enumerated() {
            let isLast = index == line.count - 1
            var spelled = isLiteral(byte, isLast: isLast) ? String(Unicode.Scalar(byte)) : "=" + byte.hexadecimal
            // The last piece needs no sign behind it, the others do.
            if current.utf8.count + spelled.utf8.count > (isLast ? maximumLength : maximumLength - 1) {
                lines.append(current + "=")
                current = ""
            }
            // Also where a line was broken: a piece may look like something that the whole does not.
            if current.isEmpty, looksLikeMessage(Array(line[index...])) { spelled = "=" + byte.hexadecimal }
            current += spelled
        }
        lines.append(current)
        return lines
    }

    private static func isLiteral(_ byte: UInt8, isLast: Bool) -> Bool {
        switch byte {
        case UInt8(ascii: "="): false
        case UInt8(ascii: " "), UInt8(ascii: "\t"): !isLast
        case 0x21...0x7E: true
        default: false
        }
    }
}
