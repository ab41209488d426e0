import EventBus
import FoundationEssentials
import TerminalText

/// The source of a test that replays a dead letter on the in-memory broker. It fails while the handler gives the event
/// up.
struct GeneratedTest {
    /// The headers of a trace, which say nothing about the event.
    private static let traceHeaders = ["traceparent", "tracestate", "baggage"]

    var letter: DeadLetter
    /// The modules to import, with the handler.
    var modules: [String] = []
    /// The statements that subscribe the handler to `bus`.
    var subscribing: [String] = []
    /// The names of members of the payload, and of headers, whose values are replaced.
    var redacted: Set<String> = []

    /// The source.
    var source: String {
        let (envelope, failure) = (letter.envelope, letter.failure)
        let topic = envelope.topic.rawValue
        var imports = "import EventBus\nimport EventBusInMemory\nimport EventBusTesting\nimport Testing\n"
        if !modules.isEmpty { imports += "\n" + modules.sorted().map { "@testable import \($0)\n" }.joined() }
        let statements =
            subscribing.isEmpty
            ? ["// Subscribe the handler of the subscription \(letter.queue.printable) to the bus here."] : subscribing
        let error = redacted.isEmpty ? "\(failure.errorType): \(failure.message)" : failure.errorType
        return """
            \(imports)
            /// \(letter.group.printable) gave the event up at \(letter.lastFailure.rfc3339) after \
            \(letter.attempts.counted("attempt")), as \("\(failure.reason)".printable):
            /// \(error.printable)
            @Test(\(SwiftLiteral.text("\(topic) \(envelope.id.rawValue) is handled by \(letter.group)")))
            func \(functionName)() async throws {
                let broker = InMemoryBroker(clock: ManualClock())
                let bus = EventBus(transport: .inMemory(broker))
            \(statements.map { "    \($0)" }.joined(separator: "\n"))
                let event = Envelope(
            \(fields.map { "        \($0)" }.joined(separator: ",\n"))
                )
                try await bus.withRunning {
                    let receipt = try await bus.publish(event)
                    #expect(receipt.outcome == .routed, "no subscription requests the event")
                    try await broker.settled()
                    for letter in try await bus.deadLetters(of: \(SwiftLiteral.text(letter.group))).entries(limit: 100) {
                        Issue.record("\\(letter.failure.reason): \\(letter.failure.errorType): \\(letter.failure.message)")
                    }
                }
            }

            """
    }

    private var functionName: String {
        let plain = letter.envelope.id.rawValue.unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
                ? Character(scalar) : "_"
        }
        return "deadLetter_" + String(plain.prefix(80))
    }

    private var fields: [String] {
        let envelope = letter.envelope
        var fields = [
            "id: EventID(\(SwiftLiteral.text(envelope.id.rawValue)))",
            "topic: \(SwiftLiteral.text(envelope.topic.rawValue))",
            "payload: \(SwiftLiteral.bytes(payload))",
            "contentType: \(SwiftLiteral.text(envelope.contentType))",
        ]
        if let encoding = envelope.contentEncoding { fields.append("contentEncoding: \(SwiftLiteral.text(encoding))") }
        fields.append("version: \(envelope.version)")
        fields.append("time: EventTime(milliseconds: \(envelope.time.milliseconds))")
        if let source = envelope.source { fields.append("source: \(SwiftLiteral.text(source))") }
        if let id = envelope.correlationID {
            fields.append("correlationID: CorrelationID(\(SwiftLiteral.text(id.rawValue)))")
        }
        if let id = envelope.causationID { fields.append("causationID: EventID(\(SwiftLiteral.text(id.rawValue)))") }
        if let key = envelope.partitionKey { fields.append("partitionKey: \(SwiftLiteral.text(key))") }
        var headers = envelope.headers.values.filter { !Self.traceHeaders.contains($0.name) }
        for name in redacted where headers[name] != nil { headers[name] = "redacted" }
        if !headers.isEmpty { fields.append("headers: EventHeaders(\(SwiftLiteral.table(headers)) as HeaderTable)") }
        return fields
    }

    /// The payload as JSON, or `nil` if it is none.
    private var json: JSONValue? {
        try? JSONDecoder().decode(JSONValue.self, from: Data(letter.envelope.payload))
    }

    /// The payload, unchanged if nothing is redacted.
    private var payload: [UInt8] {
        guard !redacted.isEmpty, let json, let text = try? StandardOutput.encoded(json.redacting(redacted)) else {
            return letter.envelope.payload
        }
        return [UInt8](text)
    }

    /// The reason why the source may contain a value that has to be redacted, or `nil` if all are replaced. Not every
    /// letter has all members of a list.
    var redactionProblem: String? {
        if redacted.isEmpty || letter.envelope.payload.isEmpty || json != nil { return nil }
        return "the payload is no JSON, so nothing in it can be redacted: write the test without --redact, and replace "
            + "the values by hand"
    }
}

extension JSONValue {
    /// Returns the value with neutral values of the same kinds for the members with these names, at any depth.
    func redacting(_ names: Set<String>) -> JSONValue {
        switch self {
        case .object(let members):
            .object(
                Dictionary(
                    uniqueKeysWithValues: members.map { name, value in
                        (name, names.contains(name) ? value.neutral : value.redacting(names))
                    }
                )
            )
        case .array(let elements): .array(elements.map { $0.redacting(names) })
        default: self
        }
    }

    private var neutral: JSONValue {
        switch self {
        case .null: .null
        case .bool: .bool(false)
        case .integer: .integer(0)
        case .number: .number(0)
        case .string: .string("redacted")
        case .array(let elements): .array(elements.map(\.neutral))
        case .object(let members): .object(members.mapValues(\.neutral))
        }
    }
}
