import EventBus
import Testing

@testable import NotificationServer

@Suite("Headers", .timeLimit(.minutes(1)))
struct HeaderFieldTests {
    @Test("Plain text is sent unchanged")
    func plain() {
        #expect(HeaderField("Subject", text: "Your order 1").lines == ["Subject: Your order 1"])
    }

    @Test(
        "Anything else is written as encoded words on lines that are short enough",
        arguments: [
            "Grüße", "ü\r\nBcc: all@x.example", "=?utf-8?B?YQ==?=", " a", "a ", String(repeating: "x", count: 100),
            String(repeating: "ü", count: 100), String(repeating: "👍🏽", count: 30),
        ]
    )
    func encoded(text: String) {
        let lines = HeaderField("Subject", text: text).lines
        for (index, line) in lines.enumerated() {
            #expect(line.utf8.count <= 78)
            #expect(line.utf8.allSatisfy { (0x20...0x7E).contains($0) })
            #expect(line.hasPrefix(index == 0 ? "Subject: =?utf-8?B?" : " =?utf-8?B?"))
            #expect(line.hasSuffix("?="))
        }
    }

    @Test("A line end in a text becomes a space, so it cannot start a header")
    func controls() {
        #expect(HeaderField("Subject", text: "a\nBcc: b").lines == ["Subject: a Bcc: b"])
        #expect(HeaderField("Subject", text: "a\u{0}b\u{85}c").lines == ["Subject: a b c"])
    }

    @Test(
        "Times are written as mail has them",
        arguments: [
            (1_770_292_800_000, "Thu, 05 Feb 2026 12:00:00 +0000", "Thu Feb  5 12:00:00 2026"),
            (0, "Thu, 01 Jan 1970 00:00:00 +0000", "Thu Jan  1 00:00:00 1970"),
            (951_827_696_999, "Tue, 29 Feb 2000 12:34:56 +0000", "Tue Feb 29 12:34:56 2000"),
            (Int64.min, "Thu, 01 Jan 1970 00:00:00 +0000", "Thu Jan  1 00:00:00 1970"),
            (Int64.max, "Fri, 31 Dec 9999 23:59:59 +0000", "Fri Dec 31 23:59:59 9999"),
        ]
    )
    func dates(milliseconds: Int64, header: String, separator: String) {
        let date = MailDate(EventTime(milliseconds: milliseconds))
        #expect(date.header == header)
        #expect(date.separator == separator)
    }
}
