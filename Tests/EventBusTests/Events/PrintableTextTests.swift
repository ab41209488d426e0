import Testing

@testable import EventBus

struct PrintableTextTests {
    private let nasty = "a\nb\u{1B}[2Jc\u{9B}d\u{202E}e\u{2028}f\u{7F}"
    private let clean = #"a\u{A}b\u{1B}[2Jc\u{9B}d\u{202E}e\u{2028}f\u{7F}"#

    @Test func `control characters and invisible marks are written as code points`() {
        #expect(nasty.printable == clean)
        #expect("Zoë 👩‍👩‍👧 – 漢字".printable == "Zoë 👩‍👩‍👧 – 漢字")
        #expect("".printable == "")
    }

    @Test func `whatever the library prints of an identifier, a topic or an error is clean`() throws {
        #expect("\(EventID(nasty))" == clean)
        #expect(EventID(nasty).rawValue == nasty)
        #expect("\(CorrelationID(nasty))" == clean)
        #expect("\(try Topic(validating: "a.\u{9B}b\u{202E}"))" == #"a.\u{9B}b\u{202E}"#)
        #expect("\(EventBusError(.rejected, nasty))" == "rejected: \(clean)")
        let failure = Failure(reason: .handlerFailed, errorType: nasty, message: nasty)
        #expect(failure.message == clean)
        #expect(failure.errorType == clean)
        #expect(nasty.quotedForError == "\"\(clean)\"")
    }

    @Test func `what is printed is cut by bytes, however few characters they are`() {
        let marks = "e" + String(repeating: "\u{301}", count: 1_000_000)
        #expect(marks.quotedForError.utf8.count < 200)
        #expect("\(EventID(marks))".utf8.count <= 255)
        #expect(Failure(reason: .handlerFailed, errorType: "", message: marks).message.utf8.count <= 1024)
        #expect("\(EventBusError(.rejected, marks))".utf8.count <= 4096)
        #expect("äöü".prefixed(toUTF8Length: 3) == "ä")
    }
}
