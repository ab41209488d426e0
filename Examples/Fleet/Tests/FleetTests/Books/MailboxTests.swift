import Testing

@testable import Fleet

@Suite("A mail file", .timeLimit(.minutes(1)))
struct MailboxTests {
    @Test("Messages are separated, and their headers are read")
    func messages() {
        let mailbox = Mailbox(
            text: """
                From shop@example.com Sat Jan 31 12:00:00 2026
                Message-ID: <a@example.com>
                Subject: Your order 1
                \tis on its way

                It is all there.
                From here on it is text
                >From is quoted after an empty line
                Message-ID: <not-a-header@example.com>

                From shop@example.com Sat Jan 31 12:00:01 2026
                Message-Id:<b@example.com>

                Text.

                """
        )
        #expect(mailbox.messages.map(\.id) == ["<a@example.com>", "<b@example.com>"])
        #expect(mailbox.messages[0].headers["subject"] == "Your order 1 is on its way")
    }

    @Test("A missing file contains no messages")
    func missing() throws {
        #expect(try Mailbox(file: "/nowhere/mail.mbox").messages.isEmpty)
    }
}
