import EventBusServiceKit
import Foundation
import Testing

@testable import InventoryServer

@Suite("The body of a stock request", .timeLimit(.minutes(1)))
struct StockRequestTests {
    private func isAccepted(name: String) throws -> Bool {
        let data = try JSONSerialization.data(withJSONObject: ["quantity": 1, "name": name])
        do {
            _ = try JSONDecoder().decode(StockRequest.self, from: data).change()
            return true
        } catch is HTTPProblem {
            return false
        }
    }

    @Test("A name that a page or a terminal would interpret is refused")
    func names() throws {
        for name in ["Zoë’s tea", "漢字", "👩‍👩‍👧"] { #expect(try isAccepted(name: name), "\(name)") }
        for mark in ["\n", "\u{1B}", "\u{7F}", "\u{9B}", "\u{202E}", "\u{2028}", "\u{FEFF}"] {
            #expect(try !isAccepted(name: "a\(mark)b"), "\(mark.unicodeScalars)")
        }
    }
}
