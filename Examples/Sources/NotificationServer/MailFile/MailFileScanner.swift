/// Reads a mailbox file (RFC 4155) piece by piece: which messages it holds, and up to where it is whole.
///
/// A message begins with a line `From …` and ends with an empty line behind its body. How long the body is, its
/// `Content-Length` says; without one, as other programs write it, it reaches up to the next such line. So a message that
/// was cut off, wherever that was, is told from a whole one.
struct MailFileScanner {
    private enum Place {
        /// Where a message may begin.
        case boundary
        case headers(contentLength: Int?)
        case body(remaining: Int)
        /// In the empty line behind a body of known length.
        case end
        /// In a body of unknown length.
        case openBody(afterEmptyLine: Bool)
    }

    /// The ids of the messages that are whole.
    private(set) var messageIDs: Set<MessageID> = []
    /// Up to where whole messages reach.
    private(set) var wholeLength = 0
    /// How many line ends are to be written before the next message, where the last one lacks its empty line.
    private(set) var missingLineEnds = 0

    private let path: String
    private var place = Place.boundary
    private var offset = 0
    private var line: [UInt8] = []
    private var messageID: MessageID?

    /// A scanner at the beginning of the file at `path`.
    init(path: String) {
        self.path = path
    }

    /// Reads on.
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

    /// Ends the file here: what is behind ``wholeLength`` is a message that was cut off.
    mutating func finish() {
        guard case .openBody(let afterEmptyLine) = place else { return }
        missingLineEnds = line.isEmpty ? (afterEmptyLine ? 0 : 1) : 2
        offset += line.count
        close()
    }

    private static let mark = Array("From ".utf8)

    /// Throws unless a message can begin with this line, which may not be all there.
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

    /// A message is whole up to here.
    private mutating func close() {
        if let messageID { messageIDs.insert(messageID) }
        messageID = nil
        wholeLength = offset
    }

    /// Notes what a header says; returns the body's length if it says that.
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
