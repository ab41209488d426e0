/// The text of a message, encoded so that it arrives unchanged, both in a mailbox file and over SMTP.
///
/// Plain text is sent unchanged. Other text is written as quoted-printable (RFC 2045, section 6.7). That applies to
/// non-ASCII characters, control characters, lines that are too long, and lines that begin with `From `, possibly after
/// `>`s, which a reader of mailbox files would take for the start of a message or for a quoted one. So nothing has to
/// be quoted in the file, where readers disagree on how to undo it.
struct MailBody: Hashable, Sendable {
    /// The encoding of the lines.
    enum Encoding: String, Hashable, Sendable {
        case sevenBit = "7bit"
        case quotedPrintable = "quoted-printable"
    }

    /// The maximum length of a line, without its end.
    static let maximumLength = 76

    /// The encoding of the lines.
    let encoding: Encoding
    /// The encoded lines without their ends. All are ASCII.
    let lines: [String]

    /// Creates the body for a text whose lines end with CR, LF or both.
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
        // The text after the last line end is a line only if it is not empty.
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

    /// Returns the lines that represent one line. All but the last end with `=`, which removes the line end.
    private static func quoted(_ line: [UInt8]) -> [String] {
        var lines: [String] = []
        var current = ""
        for (index, byte) in line.enumerated() {
            let isLast = index == line.count - 1
            var spelled = isLiteral(byte, isLast: isLast) ? String(Unicode.Scalar(byte)) : "=" + byte.hexadecimal
            // All pieces but the last need room for the sign.
            if current.utf8.count + spelled.utf8.count > (isLast ? maximumLength : maximumLength - 1) {
                lines.append(current + "=")
                current = ""
            }
            // Also after a line was broken, because a piece may look like such a line although the whole does not.
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
