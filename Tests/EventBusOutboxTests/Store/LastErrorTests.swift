import EventBus
import Testing

@testable import EventBusOutbox

@Suite("The stored text of the last error", .timeLimit(.minutes(1)))
struct LastErrorTests {
    private struct Verbose: Error, CustomStringConvertible {
        let description: String
    }

    @Test(
        "It is short and on one line, whatever the error says",
        arguments: [
            "e" + String(repeating: "\u{301}", count: 500_000), "one\ntwo\r\u{1B}[2J",
            String(repeating: "\n", count: 100_000),
        ]
    )
    func bounded(text: String) throws {
        let now = EventTime(milliseconds: 1_000_000_000)
        let event = StoredEvent(
            sequence: 1,
            envelope: Envelope(topic: "t", payload: []),
            storedAt: now,
            deliverAt: nil
        )
        var settlement = Settlement()
        settlement.delay(event, until: now + .seconds(1), error: Verbose(description: text))
        let error = try #require(settlement.delayed.first?.error)
        #expect(error.utf8.count <= 1024)
        #expect(error.unicodeScalars.allSatisfy { $0.value >= 0x20 })
        #expect(!error.isEmpty)
    }
}
