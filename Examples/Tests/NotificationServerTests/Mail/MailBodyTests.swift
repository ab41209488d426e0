import Testing

@testable import NotificationServer

@Suite("The text of a message", .timeLimit(.minutes(1)))
struct MailBodyTests {
    @Test("Plain text is sent unchanged")
    func plain() {
        let body = MailBody("Your order 1 over 14.00 is on its way.\n\nThe shop\n")
        #expect(body.encoding == .sevenBit)
        #expect(body.lines == ["Your order 1 over 14.00 is on its way.", "", "The shop"])
    }

    @Test("Lines end according to their text: with CR, LF or both")
    func lineEnds() {
        #expect(MailBody("a\r\nb\rc\nd").lines == ["a", "b", "c", "d"])
        #expect(MailBody("a\n\r\nb\r\r").lines == ["a", "", "b", ""])
        #expect(MailBody("").lines == [])
    }

    @Test(
        "What could be damaged on the way is encoded",
        arguments: [
            ("Grüße", "Gr=C3=BC=C3=9Fe"), ("a=b ü", "a=3Db =C3=BC"), ("end ", "end=20"),
            ("end\t", "end=09"), ("From me", "=46rom me"), (">From me", "=3EFrom me"), (">>From me", "=3E>From me"),

        ]
    )
    func encoded(text: String, expected: String) {
        let body = MailBody(text)
        #expect(body.encoding == .quotedPrintable)
        #expect(body.lines == [expected])
    }

    @Test("Control characters are encoded")
    func controls() {
        #expect(MailBody("a\u{0}b\u{7F}\u{1B}").lines == ["a=00b=7F=1B"])
    }

    @Test(
        "What merely resembles the beginning of a message is left alone",
        arguments: ["From", "Frome me", "a From b"]
    )
    func harmless(text: String) {
        #expect(MailBody(text).lines == [text])
    }

    @Test("Long lines are broken, never inside an encoded byte, and no piece looks like a message")
    func longLines() {
        for length in 60...90 {
            let text =
                String(repeating: "ü", count: length / 6) + String(repeating: "x", count: length)
                + String(repeating: "From me From ", count: 20)
            let lines = MailBody(text).lines
            #expect(lines.count > 1)
            for line in lines {
                #expect(line.utf8.count <= MailBody.maximumLength)
                #expect(!line.hasPrefix("From "))
            }
            for line in lines.dropLast() { #expect(line.last == "=") }
            #expect(lines.last?.last != "=")
        }
    }

    @Test("A line of exactly the maximum length is not broken")
    func greatestLength() {
        let text = String(repeating: "x", count: MailBody.maximumLength)
        #expect(MailBody(text).encoding == .sevenBit)
        #expect(MailBody(text + "\nü").lines.first == text)
        #expect(MailBody(text + "x").lines.count == 2)
    }
}
