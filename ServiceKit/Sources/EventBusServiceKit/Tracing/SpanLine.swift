import EventBus
import Tracing

/// A span as a line of JSON.
enum SpanLine {
    static func encode(_ span: FinishedSpan, redaction: Redaction) -> [UInt8] {
        var json = JSONText(reserving: 1024)
        json.member("service", span.service)
        json.member("name", redaction.redact(span.name))
        json.member("kind", "\(span.kind)")
        json.member("traceID", span.traceID)
        json.member("spanID", span.spanID)
        if let parentID = span.parentID { json.member("parentID", parentID) } else { json.null("parentID") }
        json.member("start", rfc3339(span.start))
        json.member("end", rfc3339(span.end))
        json.member("status", span.status?.code == .error ? "error" : "ok")
        if let error = span.error ?? span.status?.message { json.member("error", redaction.redact(error)) }
        json.object("attributes") { write(span.attributes, to: &$0, redaction) }
        json.array("links", of: span.links) { json, link in
            json.member("traceID", link.traceID)
            json.member("spanID", link.spanID)
        }
        return json.line()
    }

    /// Returns the time in UTC with microseconds.
    static func rfc3339(_ nanoseconds: UInt64) -> String {
        let microseconds = Int64(clamping: nanoseconds / 1000)
        let rest = String(1000 + microseconds % 1000).dropFirst()
        return EventTime(milliseconds: microseconds / 1000).rfc3339.dropLast() + rest + "Z"
    }

    private static func write(_ attributes: SpanAttributes, to json: inout JSONText, _ redaction: Redaction) {
        var members: [(key: String, value: SpanAttribute)] = []
        attributes.forEach { members.append(($0, $1)) }
        for (key, value) in members.sorted(by: { $0.key < $1.key }) {
            switch value {
            case .int32(let number): json.member(key, Int64(number))
            case .int64(let number): json.member(key, number)
            case .double(let number): json.member(key, number)
            case .bool(let flag): json.member(key, flag)
            case .string(let text): json.member(key, redaction.redact(text))
            case .stringConvertible(let value): json.member(key, redaction.redact("\(value)"))
            case .stringArray(let texts): json.member(key, redaction.redact(texts.joined(separator: ",")))
            case .int32Array(let numbers): json.member(key, numbers.map { "\($0)" }.joined(separator: ","))
            case .int64Array(let numbers): json.member(key, numbers.map { "\($0)" }.joined(separator: ","))
            case .doubleArray(let numbers): json.member(key, numbers.map { "\($0)" }.joined(separator: ","))
            case .boolArray(let flags): json.member(key, flags.map { "\($0)" }.joined(separator: ","))
            case .stringConvertibleArray(let values):
                json.member(key, redaction.redact(values.map { "\($0)" }.joined(separator: ",")))
            default: json.member(key, redaction.redact("\(value)"))
            }
        }
    }
}
