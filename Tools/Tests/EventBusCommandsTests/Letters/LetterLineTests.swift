import ArgumentParser
import EventBus
import Foundation
import TerminalText
import Testing

@testable import EventBusCommands

/// The form of an exported dead letter, and the shapes of errors.
struct LetterLineTests {
    @Test func `a dead letter survives an export`() throws {
        for payload in [Array(#"{"a": 1.10}"#.utf8), [0xFF, 0x00, 0x7B], []] {
            let letter = DeadLetter(
                envelope: Envelope(
                    id: EventID("é-1"),
                    topic: "order.created",
                    payload: payload,
                    contentType: "application/json",
                    contentEncoding: "gzip",
                    version: 3,
                    time: EventTime(milliseconds: 1_700_000_000_123),
                    source: "orders",
                    correlationID: CorrelationID("c"),
                    causationID: EventID("b"),
                    partitionKey: "k",
                    headers: [
                        "text": "t", "int": 1, "double": 1.5, "whole": .double(2), "bool": true, "null": nil,
                        "bytes": .bytes([0, 255]), "time": .timestamp(seconds: 5),
                        "list": [1, .table(["$bytes": "not bytes"])],
                    ]
                ),
                group: "g",
                queue: "g.q",
                failure: Failure(reason: .nonRetryable, errorType: "E", message: "no \u{1B} good", attempt: 2),
                attempts: 2,
                firstFailure: EventTime(milliseconds: 1_700_000_000_200),
                lastFailure: EventTime(milliseconds: 1_700_000_000_300)
            )
            let line = try StandardOutput.encoded(LetterLine(letter))
            #expect(!line.contains(UInt8(ascii: "\n")))
            let read = try JSONDecoder().decode(LetterLine.self, from: line).letter()
            #expect(read.envelope == letter.envelope)
            #expect(read.failure == letter.failure)
            #expect(read.queue == letter.queue)
            #expect(read.group == letter.group)
            #expect(read.attempts == letter.attempts)
            #expect(read.firstFailure == letter.firstFailure)
            #expect(read.lastFailure == letter.lastFailure)
        }
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity, .greatestFiniteMagnitude, -0.0])
    func `every number in a header survives an export and has a literal`(number: Double) throws {
        let headers: HeaderTable = ["a": .double(number), "b": .array([.double(number)])]
        let json = try StandardOutput.encoded(HeaderJSON.object(headers))
        guard case .object(let members) = try JSONDecoder().decode(JSONValue.self, from: json) else {
            throw CommandFailure("no object")
        }
        let read = try #require(HeaderJSON.table(members))
        guard case .double(let back)? = read["a"], case .array(let values)? = read["b"] else {
            throw CommandFailure("no number")
        }
        #expect(back == number || back.isNaN && number.isNaN)
        #expect(values.count == 1)
        let literals = [
            "nan": ".double(.nan)", "inf": ".double(.infinity)", "-inf": ".double(-.infinity)",
        ]
        #expect(SwiftLiteral.header(.double(number)) == literals["\(number)"] ?? ".double(\(number))")
    }

    @Test func `errors that differ in identifiers have one shape`() {
        #expect(LetterGroups.shape(of: "no stock for A-7: 3 wanted, 1.5 left") == "no stock for #: # wanted, #.# left")
        #expect(
            LetterGroups.shape(of: "order 0192f0c0-7c1e-7d1f-8a3b-0123456789ab is gone")
                == LetterGroups.shape(of: "order 0192f0c0-7c1e-7d1f-8a3b-ba9876543210 is gone")
        )
        #expect(LetterGroups.shape(of: String(repeating: "ä", count: 1000)).utf8.count <= 200)
    }

    @Test func `a payload cannot send escape sequences to the terminal`() {
        let json = PayloadText.text(Array(#"{"a": "\u001B[2J\u009B", "b": [1, {}]}"#.utf8), isColoured: false)
        #expect(!json.unicodeScalars.contains("\u{1B}"))
        #expect(!json.unicodeScalars.contains("\u{9B}"))
        #expect(json.contains("\"b\": [\n"))
        #expect(PayloadText.text(Array("a\u{1B}[2J\nb".utf8), isColoured: true) == "a\\u{1B}[2J\nb")
        #expect(PayloadText.text([0xFF], isColoured: true).contains("/w=="))
    }

    /// A text that forges lines, colours and directions, and is longer than anything that is printed.
    private static let nasty =
        "a\n\u{1B}[2J\u{7F}\u{9B}31m\u{202E}\u{2028}\u{E0041}ü" + String(repeating: "e\u{301}", count: 50_000)

    private func isClean(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { !$0.isUnprintable || $0 == "\n" }
    }

    @Test func `JSON output has no character that a terminal interprets, and is read as it was`() throws {
        let json = String(decoding: try StandardOutput.encoded([Self.nasty: Self.nasty]), as: UTF8.self)
        #expect(isClean(json) && !json.contains("\n"))
        #expect(json.contains(#"\u007f\u009b31m\u202e\u2028\udb40\udc41ü"#))
        #expect(try JSONDecoder().decode([String: String].self, from: Data(json.utf8)) == [Self.nasty: Self.nasty])
    }

    @Test func `no line about an event has a control character or is long, whatever its publisher chose`() throws {
        let nasty = Self.nasty
        let envelope = Envelope(
            id: EventID(nasty),
            topic: "order.created",
            payload: Array(#"{"a":1}"#.utf8),
            contentType: nasty,
            contentEncoding: nasty,
            source: nasty,
            correlationID: CorrelationID(nasty),
            causationID: EventID(nasty),
            partitionKey: nasty,
            headers: [nasty: .string(nasty), "b": .array([.string(nasty)])]
        )
        let line = TailCommand.line(envelope, isColoured: false)
        #expect(isClean(line) && line.utf8.count < 4000)
        let letter = DeadLetter(
            envelope: envelope,
            group: "g",
            queue: nasty,
            failure: Failure(reason: .nonRetryable, errorType: nasty, message: nasty, attempt: 1),
            attempts: 1,
            firstFailure: nil,
            lastFailure: .now()
        )
        let shown = try DeadShowCommand.parse(["an-id", "--group", "g", "--json"]).text(letter)
        #expect(isClean(shown) && shown.split(separator: "\n").allSatisfy { $0.utf8.count < 20_000 })
    }
}
