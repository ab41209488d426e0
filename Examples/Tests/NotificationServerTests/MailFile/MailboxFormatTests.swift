import EventBus
import Foundation
import NotificationService
import ServiceTestKit
import Testing

@testable import NotificationServer

@Suite("The mail file as read by Python", .timeLimit(.minutes(2)))
struct MailboxFormatTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Writes messages, and lets Python read them.
    private func read(_ messages: [MailMessage]) async throws -> [ReadMessage] {
        let file = try await opened(MailFile(path: scratch.path("mail.mbox"), logger: .quiet))
        for message in messages { try await file.send(message) }
        return try await ReadMessage.all(in: scratch.path("mail.mbox"))
    }

    @Test("A message has the expected headers, each once")
    func headers() async throws {
        let message = try #require(try await read([.sample("10248")]).first)
        #expect(message.defects == [])
        #expect(message.separator == "From orders@shop.example Thu Feb  5 12:00:00 2026")
        #expect(message.date == "2026-02-05T12:00:00+00:00")
        #expect(message.to == ["VINET@customers.example"])
        for (name, value) in [
            ("From", "orders@shop.example"), ("Subject", "Your order 10248 is on its way"),
            ("Message-ID", "<order.confirmed=3A10248@shop.example>"), ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=\"utf-8\""), ("Content-Transfer-Encoding", "7bit"),
            ("Auto-Submitted", "auto-generated"), ("Content-Length", "26"),
        ] {
            #expect(message.header(name) == value, "\(name)")
        }
        #expect(message.headers.count == 10)
        #expect(message.text == "Your order is on its way.\n")
    }

    @Test("Every text arrives unchanged and stays one message")
    func texts() async throws {
        let texts = [
            "From me\nFrom you\n\nFrom all\n", ">From me\n>>From you\n", "Grüße 👍🏽\n", ".\n..\n", "a\u{0}b\u{1B}\n",
            String(repeating: "long ", count: 1_000) + "\n", "ends with blanks  \n\t\n", "=\n=20\n", "\n\n\nFrom x\n",
            "Content-Length: 3\n\nMessage-ID: <x@y>\n", String(repeating: "ü", count: 700) + "From me\n", "",
        ]
        let messages = try texts.enumerated().map { try MailMessage.sample("\($0)", text: $1) }
        let read = try await read(messages)
        #expect(read.count == texts.count)
        for (message, text) in zip(read, texts) {
            #expect(message.text == text + "\n", "\(text)")
            #expect(message.defects == [])
            #expect(message.isASCII)
            #expect(message.longestLine <= 998)
        }
    }

    @Test("No id of a customer or an order creates a header or another recipient")
    func injection() async throws {
        let attacks = [
            "a\r\nBcc: all@evil.example", "a\nSubject: evil", "a\r\n\r\nFrom evil@evil.example", "a, b@evil.example",
            "a@evil.example", "<a@evil.example>", "a>\r\nTo: <b", "a\u{0}", "a\u{2028}b", "\"a\" <b>", "a (comment)",
            "a;b:c", "=?utf-8?B?YQ==?=", "../../etc/passwd", "|sh", "-oQ/tmp", "a\rb",
            String(repeating: "x", count: 500),
        ]
        let expected = try MailMessage.sample().headers.map { $0.lines[0].prefix { $0 != ":" } }
        let read = try await read(
            attacks.map { attack in
                try MailMessage(
                    Notice(orderID: attack, customerID: attack, outcome: .cancelled, text: attack),
                    eventID: EventID("order.cancelled:\(attack)"),
                    time: .now(),
                    letterhead: .sample
                )
            }
        )
        #expect(read.count == attacks.count)
        for (message, attack) in zip(read, attacks) {
            #expect(message.headers.map { $0[0] } == expected.map(String.init) + ["Content-Length"], "\(attack)")
            #expect(message.to.count == 1, "\(attack)")
            #expect(message.to[0].hasSuffix("@customers.example"), "\(attack)")
            #expect(message.header("Message-ID")?.hasSuffix("@shop.example>") == true, "\(attack)")
            #expect(message.defects == [], "\(attack)")
            #expect(message.longestLine <= 998)
        }
        #expect(Set(read.map { $0.header("Message-ID") }).count == attacks.count)
        #expect(read.first?.header("Subject") == "Your order a  Bcc: all@evil.example is cancelled")
    }
}
