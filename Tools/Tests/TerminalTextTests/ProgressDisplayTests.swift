import Testing

@testable import TerminalText

struct ProgressDisplayTests {
    @Test func `a line shows what a terminal would interpret as numbers, and does not wrap`() {
        let line = ProgressDisplay.text("group a\u{1B}[2J\u{9B}\nb", columns: 80)
        #expect(line == "\r\u{1B}[2Kgroup a\\u{1B}[2J\\u{9B}\\u{A}b")
        let long = ProgressDisplay.text(String(repeating: "x", count: 200), columns: 80)
        #expect(long == "\r\u{1B}[2K" + String(repeating: "x", count: 79))
    }
}
