import Foundation

/// A unit of work of a service, as recorded in its trace file.
public struct Span: Sendable {
    /// The process that did the work, such as `inventory-2`.
    public var process: String
    /// The service it belongs to.
    public var kind: ServiceKind
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
    /// A Boolean value indicating whether it answers a request that places an order.
    public var isPlacing: Bool { attributes["http.request.method"] == "POST" }

    /// Reads all spans that services have written. A line whose writer was killed is skipped.
    public static func all(of services: [ServiceProcess]) throws -> [Span] {
        let decoder = JSONDecoder()
        return try services.flatMap { service in
            guard FileManager.default.fileExists(atPath: service.traceFile) else { return [Span]() }
            let text = try Data(contentsOf: URL(filePath: service.traceFile))
            let process = service.name.replacing("-service", with: "")
            return text.split(separator: UInt8(ascii: "\n")).compactMap { line in
                (try? decoder.decode(SpanLine.self, from: Data(line))).flatMap {
                    Span($0, process: process, kind: service.kind)
                }
            }
        }
    }

    private init?(_ line: SpanLine, process: String, kind: ServiceKind) {
        guard let start = Self.microseconds(line.start), let end = Self.microseconds(line.end) else { return nil }
        self.process = process
        self.kind = kind
        name = line.name
        traceID = line.traceID
        self.start = start
        duration = max(0, end - start)
        failure = line.status == "error" ? line.error ?? "failed" : nil
        attributes = line.attributes.mapValues(\.text)
    }

    /// Creates a span for a test.
    init(
        _ name: String,
        kind: ServiceKind,
        trace: String,
        start: Int64,
        duration: Int64,
        failure: String? = nil,
        attributes: [String: String]
    ) {
        process = kind.executable.replacing("-service", with: "")
        self.kind = kind
        self.name = name
        traceID = trace
        self.start = start
        self.duration = duration
        self.failure = failure
        self.attributes = attributes
    }

    /// Returns the microseconds since 1970 of a time in UTC such as `2026-01-31T12:00:00.250123Z`.
    static func microseconds(_ text: String) -> Int64? {
        guard text.hasSuffix("Z"), let point = text.firstIndex(of: ".") else { return nil }
        let fraction = text[text.index(after: point)...].dropLast()
        guard fraction.count == 6, let micros = Int64(fraction),
            let date = try? Date.ISO8601FormatStyle().parse(text[..<point] + "Z")
        else { return nil }
        return Int64(date.timeIntervalSince1970.rounded()) * 1_000_000 + micros
    }
}

/// A line of a trace file.
private struct SpanLine: Decodable {
    var name: String
    var traceID: String
    var start: String
    var end: String
    var status: String
    var error: String?
    var attributes: [String: Value]

    /// A text, a number or a Boolean value.
    struct Value: Decodable {
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
