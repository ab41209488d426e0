import EventBus
import Foundation
import Testing

@testable import EventBusCommands

/// The test that the program writes for a dead letter.
struct GeneratedTestTests {
    private static let payload = #"{"order": "A \"7\" #1", "total": 120, "email": "zoe@example.com"}"#

    private static var letter: DeadLetter {
        DeadLetter(
            envelope: Envelope(
                id: EventID("0192f0c0-7c1e"),
                topic: "order.created",
                payload: Array(payload.utf8),
                time: EventTime(milliseconds: 1_700_000_000_123),
                source: "orders",
                correlationID: CorrelationID("order-7"),
                headers: ["tenant": "acme", "tries": 3, "traceparent": "00-1-2-01"]
            ),
            group: "inventory",
            queue: "inventory.order-created",
            failure: Failure(reason: .attemptsExhausted, error: PlantedBug.StockError(), attempt: 12),
            attempts: 12,
            firstFailure: nil,
            lastFailure: EventTime(milliseconds: 1_700_000_070_000)
        )
    }

    private static var generated: String {
        GeneratedTest(
            letter: letter,
            subscribing: ["PlantedBug.subscribe(bus)"],
            redacted: ["email", "tenant"]
        ).source
    }

    @Test func `the written test is the one that is compiled here`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "WrittenTest.swift")
        #expect(try String(contentsOf: file, encoding: .utf8) == Self.generated)
        #expect(!Self.generated.contains("zoe"))
        #expect(!Self.generated.contains("traceparent"))
    }

    @Test func `the written test fails with the same error before the bug is mended, and passes afterwards`()
        async throws
    {
        try await withKnownIssue {
            try await PlantedBug.$isMended.withValue(false) { try await deadLetter_0192f0c0_7c1e() }
        } matching: { issue in
            let text = "\(issue)"
            return text.contains("attempts_exhausted") && text.contains("PlantedBug.StockError: no stock for A-7")
        }
        try await deadLetter_0192f0c0_7c1e()
    }

    @Test(arguments: [
        #"{"email":"zoe@example.com","to"#, #"{"email":"zoe@example.com","n":1e400}"#, "email;zoe@example.com",
    ])
    func `a value that cannot be redacted is refused`(payload: String) throws {
        var letter = Self.letter
        letter.envelope.payload = Array(payload.utf8)
        let test = GeneratedTest(letter: letter, redacted: ["email", "tenant"])
        #expect(try #require(test.redactionProblem).contains("no JSON"))
    }

    @Test func `redacting needs JSON only if there is a payload and a name`() {
        var letter = Self.letter
        letter.envelope.payload = Array(#"{"customers":[{"email":"zoe@example.com"}]}"#.utf8)
        #expect(GeneratedTest(letter: letter, redacted: ["email", "tenant"]).redactionProblem == nil)
        letter.envelope.payload = []
        #expect(GeneratedTest(letter: letter, redacted: ["tenant"]).redactionProblem == nil)
        #expect(GeneratedTest(letter: letter).redactionProblem == nil)
    }

    @Test(arguments: [
        "plain", #"a "quoted" \ text"#, "#\"##\"###", "line\nbreak\r\tand \u{1B}[2J", "\u{202E}right to left", "Zoë 漢字",
        "\\(interpolated)", "",
    ])
    func `a literal cannot end early or hide a character`(text: String) {
        for literal in [SwiftLiteral.text(text), SwiftLiteral.readableText(text)] {
            #expect(literal.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.properties.generalCategory != .format })
            let signs = literal.prefix { $0 == "#" }.count
            let end = "\"" + String(repeating: "#", count: signs)
            let content = literal.dropFirst(signs + 1).dropLast(signs + 1)
            if signs > 0 { #expect(!content.contains(end)) }
        }
        #expect(!SwiftLiteral.text("\\(x)").contains("\"\\("))
    }
}
