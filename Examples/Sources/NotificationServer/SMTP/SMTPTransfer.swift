/// What goes to a mail server and comes from it while one message is handed over. libcurl's callbacks work on it.
struct SMTPTransfer {
    /// The longest reply that is kept, in bytes.
    private static let maximumReplyLength = 500
    /// What a server answers to QUIT.
    private static let farewell = "221"

    /// The message.
    let message: [UInt8]
    /// Whether the server wanted to have it: it has said yes to sender and recipient then.
    private(set) var isWanted = false
    private var position = 0
    private var replyLines: [String] = []

    /// The transfer of a message, its lines ending with CRLF.
    init(message: String) {
        self.message = Array(message.utf8)
    }

    /// What the server said last, in one line; `nil` if it said nothing. Its farewell does not count.
    var reply: String? { replyLines.isEmpty ? nil : replyLines.joined(separator: " ") }

    /// The code of that reply, such as 250; `nil` if there is none.
    var replyCode: Int? { replyLines.first.flatMap { Int($0.prefix(3)) } }

    /// Copies the next piece of the message; returns its length, zero at the end.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        isWanted = true
        let piece = message[position..<min(message.count, position + buffer.count)]
        buffer.copyBytes(from: piece)
        position += piece.count
        return piece.count
    }

    /// Notes a line that the server said: `250-SIZE` goes on with the next one, `250 OK` ends a reply.
    mutating func note(line bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes.prefix(Self.maximumReplyLength), as: UTF8.self)
            .filter { !$0.isNewline && $0 != "\0" }
        // After a failure libcurl takes its leave, and what was said before is what matters.
        if text.hasPrefix(Self.farewell), !replyLines.isEmpty { return }
        if lastLineEndedReply { replyLines = [] }
        lastLineEndedReply = text.dropFirst(3).first != "-"
        if replyLines.reduce(0, { $0 + $1.utf8.count }) < Self.maximumReplyLength { replyLines.append(text) }
    }

    private var lastLineEndedReply = true
}
