/// The data that is exchanged with a mail server for one message. libcurl's callbacks use it.
struct SMTPTransfer {
    /// The maximum length of a stored reply, in bytes.
    private static let maximumReplyLength = 500
    /// The code of a server's reply to QUIT.
    private static let farewell = "221"

    /// The message.
    let message: [UInt8]
    /// A Boolean value indicating whether the server requested the message, after it accepted sender and recipient.
    private(set) var isWanted = false
    private var position = 0
    private var replyLines: [String] = []

    /// Creates the transfer of a message whose lines end with CRLF.
    init(message: String) {
        self.message = Array(message.utf8)
    }

    /// The last reply of the server on one line, or `nil` if there was none. The reply to QUIT does not count.
    var reply: String? { replyLines.isEmpty ? nil : replyLines.joined(separator: " ") }

    /// The code of that reply, such as 250, or `nil` if there is none.
    var replyCode: Int? { replyLines.first.flatMap { Int($0.prefix(3)) } }

    /// Copies the next piece of the message. Returns its length, which is zero at the end.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        isWanted = true
        let piece = message[position..<min(message.count, position + buffer.count)]
        buffer.copyBytes(from: piece)
        position += piece.count
        return piece.count
    }

    /// Records a line from the server. `250-SIZE` is continued on the next line, and `250 OK` ends a reply.
    mutating func note(line bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes.prefix(Self.maximumReplyLength), as: UTF8.self)
            .filter { !$0.isNewline && $0 != "\0" }
        // After a failure libcurl sends QUIT, and the earlier reply matters.
        if text.hasPrefix(Self.farewell), !replyLines.isEmpty { return }
        if lastLineEndedReply { replyLines = [] }
        lastLineEndedReply = text.dropFirst(3).first != "-"
        if replyLines.reduce(0, { $0 + $1.utf8.count }) < Self.maximumReplyLength { replyLines.append(text) }
    }

    private var lastLineEndedReply = true
}
