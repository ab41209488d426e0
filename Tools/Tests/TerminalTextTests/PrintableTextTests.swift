import Testing

@testable import TerminalText

struct PrintableTextTests {
    @Test func `control characters and invisible marks are written as code points`() {
        let nasty = "a\nb\u{1B}[2Jc\u{9B}d\u{202E}e\u{2028}f\u{7F}"
        #expect(nasty.printable == #"a\u{A}b\u{1B}[2Jc\u{9B}d\u{202E}e\u{2028}f\u{7F}"#)
        #expect("Zoë 👩‍👩‍👧 – 漢字".printable == "Zoë 👩‍👩‍👧 – 漢字")
    }

    @Test func `a text is cut by bytes, however few characters it has`() {
        let marks = "e" + String(repeating: "\u{301}", count: 100_000)
        #expect(marks.cut(toUTF8Length: 100).utf8.count <= 103)
        #expect("äöü".cut(toUTF8Length: 3) == "ä…")
        #expect("äöü".cut(toUTF8Length: 6) == "äöü")
    }

    @Test func `progress with a foreign name is one line that reaches the terminal as text`() {
        #expect(ProgressDisplay.text("a\u{1B}[2Jb\n: 5", columns: nil) == #"a\u{1B}[2Jb\u{A}: 5"# + "\n")
        #expect(ProgressDisplay.text("a\u{1B}b: 5 of 10", columns: 12) == "\r\u{1B}[2K" + #"a\u{1B}b: 5"#.prefix(11))
    }
}
