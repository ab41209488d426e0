import EventBus
import FoundationEssentials

/// An event as a line of JSON, from which it can be restored.
///
/// The payload is its exact text, or Base64 if it is not UTF-8.
struct EventLine: Codable, Sendable {
    var id: String
    var topic: String
    var time: String
    var source: String?
    var correlationID: String?
    var causationID: String?
    var partitionKey: String?
    var version: Int
    var contentType: String
    var contentEncoding: String?
    var headers: JSONValue?
    var payload: String?
    var payloadBase64: String?

    init(_ envelope: Envelope) {
        id = envelope.id.rawValue
        topic = envelope.topic.rawValue
        time = envelope.time.rfc3339
        source = envelope.source
        correlationID = envelope.correlationID?.rawValue
        causationID = envelope.causationID?.rawValue
        partitionKey = envelope.partitionKey
        version = envelope.version
        contentType = envelope.contentType
        contentEncoding = envelope.contentEncoding
        headers = envelope.headers.isEmpty ? nil : HeaderJSON.object(envelope.headers.values)
        payload = String(validating: envelope.payload, as: UTF8.self)
        payloadBase64 = payload == nil ? Data(envelope.payload).base64EncodedString() : nil
    }

    /// Returns the event.
    ///
    /// - Throws: ``CommandFailure`` with a sentence about the invalid member.
    func envelope() throws(CommandFailure) -> Envelope {
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure(reason, status: CommandFailure.invalidInput)
        }
        guard !id.isEmpty else { throw invalid("id is empty") }
        guard let topic = try? Topic(validating: topic) else { throw invalid("topic is not valid") }
        guard
            let bytes = payload.map({ Array($0.utf8) })
                ?? payloadBase64.flatMap({ Data(base64Encoded: $0) }).map(Array.init)
        else { throw invalid("there is neither a payload nor a valid payloadBase64") }
        var table = HeaderTable()
        if let headers {
            guard case .object(let members) = headers, let read = HeaderJSON.table(members) else {
                throw invalid("headers are not in the form of an export")
            }
            table = read
        }
        return Envelope(
            id: EventID(id),
            topic: topic,
            payload: bytes,
            contentType: contentType,
            contentEncoding: contentEncoding,
            version: version,
            time: try Self.time(time, "time"),
            source: source,
            correlationID: correlationID.map { CorrelationID($0) },
            causationID: causationID.map { EventID($0) },
            partitionKey: partitionKey,
            headers: EventHeaders(table)
        )
    }

    /// Returns the time that a member gives.
    static func time(_ text: String, _ member: String) throws(CommandFailure) -> EventTime {
        guard let time = EventTime(rfc3339: text) else {
            throw CommandFailure("\(member) is no time in RFC 3339 format", status: CommandFailure.invalidInput)
        }
        return time
    }
}
