import Testing

@testable import NotificationServer

@Suite("Reading a mailbox file", .timeLimit(.minutes(1)))
struct MailFileScannerTests {
    private func scan(_ text: String, piece: Int = .max) throws -> MailFileScanner {
        var scanner = MailFileScanner(path: "mail")
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            try scanner.read(bytes.prefix(piece))
            bytes = bytes.dropFirst(piece)
        }
        scanner.finish()
        return scanner
    }

    @Test("The same messages are found in any division of the file into pieces")
    func pieces() throws {
        let messages = try ["1", "2", "3"].map { try MailMessage.sample($0, text: "Ümlaut\n\nFrom here\n") }
        let text = messages.map(\.mailboxText).joined()
        for piece in [1, 2, 3, 7, 64, 1_000, 100_000] {
            let scanner = try scan(text, piece: piece)
            #expect(scanner.messageIDs == Set(messages.map(\.id)))
            #expect(scanner.wholeLength == text.utf8.count)
            #expect(scanner.missingLineEnds == 0)
        }
    }

    @Test("If the last message is truncated anywhere, the others are complete and it is not")
    func tornTail() throws {
        let messages = try ["1", "2", "3"].map { try MailMessage.sample($0, text: "Ümlaut\n\nFrom here\n") }
        let whole = messages.dropLast().map(\.mailboxText).joined()
        let last = Array(messages[2].mailboxText.utf8)
        for length in 0..<last.count {
            let text = whole + String(decoding: last[..<length], as: UTF8.self)
            let scanner = try scan(text, piece: 100)
            #expect(scanner.messageIDs == Set(messages.prefix(2).map(\.id)), "\(length)")
            #expect(scanner.wholeLength == whole.utf8.count, "\(length)")
        }
    }

    @Test(
        "A file that is something else is refused, by the place where it differs",
        arguments: [("PNG", 0), ("From:", 0), ("\nx", 1), ("{\"a\": 1}\n", 0), ("Fro\n", 0)]
    )
    func otherFile(text: String, offset: Int) {
        #expect(throws: MailFileError.notMailFile(path: "mail", offset: offset)) { try scan(text) }
    }

    @Test("Data after a complete message that starts none is refused, not truncated")
    func garbage() throws {
        let message = try MailMessage.sample()
        let length = message.mailboxText.utf8.count
        #expect(throws: MailFileError.notMailFile(path: "mail", offset: length)) {
            try scan(message.mailboxText + "garbage\n")
        }
        #expect(throws: MailFileError.self) { try scan(message.mailboxText.dropLast() + "garbage\n") }
    }

    @Test("Messages of other programs without a length end before the next message")
    func otherPrograms() throws {
        let own = try MailMessage.sample()
        let foreign = "From a@b Thu Feb  5 12:00:00 2026\nmessage-id: <x@y>\n\nFrom the heart\n\n>From me\n\n"
        let scanner = try scan(foreign + own.mailboxText + foreign)
        #expect(scanner.messageIDs == [MessageID(header: "<x@y>"), own.id])
        #expect(scanner.wholeLength == 2 * foreign.utf8.count + own.mailboxText.utf8.count)
        #expect(scanner.missingLineEnds == 0)
    }

    @Test("Line ends that another program omitted are recognized", arguments: [("text", 2), ("text\n", 1), ("", 1)])
    func missingLineEnds(body: String, missing: Int) throws {
        let text = "From a@b Thu Feb  5 12:00:00 2026\nMessage-ID: <x@y>\n\n" + body
        let scanner = try scan(text)
        #expect(scanner.messageIDs == [MessageID(header: "<x@y>")])
        #expect(scanner.wholeLength == text.utf8.count)
        #expect(scanner.missingLineEnds == missing)
    }

    @Test("A file without messages is a mailbox file", arguments: ["", "\n", "\n\n"])
    func empty(text: String) throws {
        let scanner = try scan(text)
        #expect(scanner.messageIDs.isEmpty)
        #expect(scanner.wholeLength == text.utf8.count)
    }
}
