public import EventStory
import Foundation

/// A unit of work of a service, as recorded in its trace file.
@dynamicMemberLookup
public struct Span: Sendable {
    /// The process that did the work, such as `inventory-2`.
    public var process: String
    /// The service it belongs to.
    public var kind: ServiceKind
    /// The line of the trace file.
    private var record: SpanRecord

    /// A Boolean value indicating whether it answers a request that places an order.
    public var isPlacing: Bool { record.attributes["http.request.method"] == "POST" }

    /// A property of the line.
    public subscript<Value>(dynamicMember property: KeyPath<SpanRecord, Value>) -> Value { record[keyPath: property] }

    /// Creates a span.
    init(_ record: SpanRecord, process: String, kind: ServiceKind) {
        self.process = process
        self.kind = kind
        self.record = record
    }

    /// Reads all spans that services have written. A line whose writer was killed is skipped.
    public static func all(of services: [ServiceProcess]) throws -> [Span] {
        try services.flatMap { service in
            guard FileManager.default.fileExists(atPath: service.traceFile) else { return [Span]() }
            let text = try Data(contentsOf: URL(filePath: service.traceFile))
            let process = service.name.replacing("-service", with: "")
            return text.split(separator: UInt8(ascii: "\n")).compactMap { line in
                SpanRecord(line: line).map { Span($0, process: process, kind: service.kind) }
            }
        }
    }
}
