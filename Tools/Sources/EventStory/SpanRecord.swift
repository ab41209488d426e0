import EventBus
import FoundationEssentials

/// A finished unit of work of a service, as a line of JSON in a trace file.
///
/// ```json
/// {"service":"inventory","name":"process order.created","traceID":"…","start":"2026-01-31T12:00:00.250123Z",
///  "end":"2026-01-31T12:00:00.251000Z","status":"ok","attributes":{"messaging.operation.type":"process"}}
/// ```
public struct SpanRecord: Sendable {
    /// The service that did the work, or `nil` if it is not named.
    public var service: String?
    /// The name, such as `process order.created`.
    public var name: String
    /// The trace that the work belongs to.
    public var traceID: String
    /// The start in microseconds since 1970.
    public var start: Int64
    /// The duration in microseconds.
    public var duration: Int64
    /// The error, or `nil` if there was none.
    public var failure: String?
    /// The attributes of the span.
    public var attributes: [String: String]

    /// The correlation id of the work.
    public var correlationID: String? { attributes["messaging.message.conversation_id"] }
    /// The id of the event that is published or processed.
    public var messageID: String? { attributes["messaging.message.id"] }
    /// The event's topic.
    public var topic: String? { attributes["messaging.destination.name"] }
    /// The number of the attempt to handle an event, from 1.
    public var attempt: Int? { attributes["eventbus.attempt"].flatMap { Int($0) } }
    /// A Boolean value indicating whether it handles an event.
    public var isProcessing: Bool { attributes["messaging.operation.type"] == "process" }
    /// A Boolean value indicating whether it publishes an event.
    public var isPublishing: Bool { attributes["messaging.operation.type"] == "send" }

    /// The action and its subject, such as `process` and `order.created`.
    public var labels: (action: String, subject: String) {
        if isProcessing { return ("process", topic ?? name) }
        if isPublishing { return ("publish", topic ?? name) }
        let words = name.split(separator: " ", maxSplits: 1).map(String.init)
        return (words.first ?? "", words.dropFirst().first ?? "")
    }

    /// Creates a record.
    public init(
        service: String?,
        name: String,
        traceID: String,
        start: Int64,
        duration: Int64,
        failure: String? = nil,
        attributes: [String: String]
    ) {
        self.service = service
        self.name = name
        self.traceID = traceID
        self.start = start
        self.duration = duration
        self.failure = failure
        self.attributes = attributes
    }

    /// Reads a line of a trace file. Returns `nil` if it is no span, for example because its writer was killed.
    public init?(line: some Sequence<UInt8>) {
        guard let line = try? JSONDecoder().decode(Line.self, from: Data(line)),
            let start = Self.microseconds(line.start), let end = Self.microseconds(line.end)
        else { return nil }
        self.init(
            service: line.service,
            name: line.name,
            traceID: line.traceID,
            start: start,
            duration: max(0, end - start),
            failure: line.status == "error" ? line.error ?? "failed" : nil,
            attributes: line.attributes.mapValues(\.text)
        )
    }

    /// Returns the microseconds since 1970 of a time such as `2026-01-31T12:00:00.250123Z`, or `nil` if it is none.
    public static func microseconds(_ text: String) -> Int64? {
        guard let time = EventTime(rfc3339: text) else { return nil }
        // A time has milliseconds only.
        let fraction = text.drop { $0 != "." }.dropFirst().prefix { $0.isWholeNumber }.dropFirst(3).prefix(3)
        let digits = String(fraction) + String(repeating: "0", count: 3 - fraction.count)
        return time.milliseconds * 1000 + (Int64(digits) ?? 0)
    }

    private struct Line: Decodable {
        var service: String?
        var name: String
        var traceID: String
        var start: String
        var end: String
        var status: String
        var error: String?
        var attributes: [String: Value]
    }

    /// A text, a number or a Boolean value.
    private struct Value: Decodable {
        var text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(String.self) {
                text = value
            } else if let value = try? container.decode(Int64.self) {
                text = "\(value)"
            } else if let value = try? container.decode(Bool.self) {
                text = "\(value)"
            } else {
                text = "\(try container.decode(Double.self))"
            }
        }
    }
}
