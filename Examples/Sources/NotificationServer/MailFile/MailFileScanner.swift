/// A scanner that reads a mailbox file (RFC 4155) in pieces, and finds its messages and the end of the complete ones.
///
/// A message begins with a line `From …` and ends with an empty line after its body. `Content-Length` states the length
/// of the body. Without it, as written by other programs, the body ends before the next such line. A truncated message
/// is therefore distinguished from a complete one, wherever it was truncated.
struct MailFileScanner {
    private enum Place {
        /// A place where a message may begin.
        case boundary
        case headers(contentLength: Int?)
        case body(remaining: Int)
        /// The empty line after a body of known length.
        case end
        /// A body of unknown length.
        case openBody(afterEmptyLine: Bool)
    }

    /// The ids of the complete messages.
    private(set) var messageIDs: Set<MessageID> = []
    /// The length of the complete messages.
    private(set) var wholeLength = 0
    /// The number of line ends to write before the next message, if the last one lacks its empty line.
    private(set) var missingLineEnds = 0

    private let path: String
    private var place = Place.boundary
    private var offset = 0
    private var line: [UInt8] = []
    private var messageID: MessageID?

    /// Creates a scanner at the beginning of the file at `path`.
    init(path: String) {
        self.path = path
    }

    /// Scans further bytes.
    ///
    /// - Throws: ``MailFileError/notMailFile(path:offset:)``.
    mutating func read(_ bytes: ArraySlice<UInt8>) throws(MailFileError) {
        var bytes = bytes
        while !bytes.isEmpty {
            if case .body(let remaining) = place, remaining > 0 {
                let count = min(remaining, bytes.count)
                place = .body(remaining: remaining - count)
                offset += count
                bytes = bytes.dropFirst(count)
                continue
            }
            if case .body = place { place = .end }
            guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
                line += bytes
                if case .boundary = place { try requireMark(line) }
                break
            }
            line += bytes[..<end]
            bytes = bytes[(end + 1)...]
            try finishLine()
        }
    }

    /// Ends the file here. Everything after ``wholeLength`` is a truncated message.
    mutating func finish() {
        guard case .openBody(let afterEmptyLine) = place else { return }
        missingLineEnds = line.isEmpty ? (afterEmptyLine ? 0 : 1) : 2
        offset += line.count
        close()
    }

    private static let mark = Array("From ".utf8)

    /// Throws unless a message can begin with this line, which may be incomplete.
    private func requireMark(_ line: [UInt8]) throws(MailFileError) {
        guard line.starts(with: Self.mark) || Self.mark.starts(with: line) else {
            throw .notMailFile(path: path, offset: offset)
        }
    }

    private mutating func finishLine() throws(MailFileError) {
        let line = line
        self.line = []
        switch place {
        case .boundary:
            if !line.isEmpty { try requireMark(line + [UInt8(ascii: "\n")]) }
            offset += line.count + 1
            if line.isEmpty { wholeLength = offset } else { place = .headers(contentLength: nil) }
        case .headers(let contentLength):
            offset += line.count + 1
            if line.isEmpty || line == [UInt8(ascii: "\r")] {
                place = contentLength.map { .body(remaining: $0) } ?? .openBody(afterEmptyLine: false)
            } else {
                place = .headers(contentLength: note(line) ?? contentLength)
            }
        case .body, .end:
            guard line.isEmpty || line == [UInt8(ascii: "\r")] else {
                throw .notMailFile(path: path, offset: offset)
            }
            offset += line.count + 1
            close()
            place = .boundary
        case .openBody(let afterEmptyLine):
            if afterEmptyLine, line.starts(with: Self.mark) {
                close()
                place = .headers(contentLength: nil)
            } else {
                place = .openBody(afterEmptyLine: line.isEmpty)
            }
            offset += line.count + 1
        }
    }

    /// Ends a complete message.
    private mutating func close() {
        if let messageID { messageIDs.insert(messageID) }
        messageID = nil
        wholeLength = offset
    }

    /// Records a header. Returns the length of the body if the header states it.
    private mutating func note(_ line: [UInt8]) -> Int? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self).filter { !$0.isWhitespace }
        switch String(decoding: line[..<colon], as: UTF8.self).lowercased() {
        case "message-id": messageID = MessageID(header: value)
        case "content-length": return Int(value).flatMap { $0 >= 0 ? $0 : nil }
        default: break
        }
        return nil
    }
}
