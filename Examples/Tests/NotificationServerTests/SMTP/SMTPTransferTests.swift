import Testing

@testable import NotificationServer

@Suite("The data exchanged with a mail server", .timeLimit(.minutes(1)))
struct SMTPTransferTests {
    @Test("A message is read in pieces")
    func pieces() {
        for size in 1...7 {
            var transfer = SMTPTransfer(message: "message")
            #expect(!transfer.isWanted)
            var read: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: size)
            while true {
                let count = buffer.withUnsafeMutableBytes { transfer.read(into: $0) }
                if count == 0 { break }
                read += buffer[..<count]
            }
            #expect(read == Array("message".utf8))
            #expect(transfer.isWanted)
        }
    }

    @Test("The last reply is kept, with all its lines on one")
    func reply() {
        var transfer = SMTPTransfer(message: "")
        #expect(transfer.reply == nil)
        for line in [
            "220 mail.test\r\n", "250-mail.test\r\n", "250 SIZE\r\n", "550-5.1.1 No such\r\n", "550 5.1.1 mailbox\r\n",
            "221 Bye\r\n",
        ] {
            Array(line.utf8).withUnsafeBytes { transfer.note(line: $0) }
        }
        #expect(transfer.reply == "550-5.1.1 No such 550 5.1.1 mailbox")
        #expect(transfer.replyCode == 550)
    }

    @Test("An endless reply of a server is not stored endlessly")
    func longReply() {
        var transfer = SMTPTransfer(message: "")
        let line = Array(("550-" + String(repeating: "x", count: 2_000) + "\r\n").utf8)
        for _ in 1...1_000 { line.withUnsafeBytes { transfer.note(line: $0) } }
        #expect((transfer.reply?.utf8.count ?? 0) <= 1_000)
    }
}
