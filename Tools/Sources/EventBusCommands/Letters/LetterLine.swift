import EventBus
import FoundationEssentials

/// A dead letter as a line of JSON, from which it can be restored.
///
/// The payload is its exact text, or Base64 if it is not UTF-8.
struct LetterLine: Codable, Sendable {
    var id: String
    var topic: String
    var group: String
    var queue: String
    var reason: String
    var errorType: String
    var error: String
    var attempts: Int
    var firstFailure: String?
    var lastFailure: String
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

    init(_ letter: DeadLetter) {
        let envelope = letter.envelope
        id = envelope.id.rawValue
        topic = envelope.topic.rawValue
        group = letter.group
        queue = letter.queue
        reason = letter.failure.reason.rawValue
        errorType = letter.failure.errorType
        error = letter.failure.message
        attempts = letter.attempts
        firstFailure = letter.firstFailure?.rfc3339
        lastFailure = letter.lastFailure.rfc3339
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

    /// Returns the dead letter.
    ///
    /// - Throws: ``CommandFailure`` with a sentence about the invalid member.
    func letter() throws(CommandFailure) -> DeadLetter {
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure(reason, status: CommandFailure.invalidInput)
        }
        func time(_ text: String, _ member: String) throws(CommandFailure) -> EventTime {
            guard let time = EventTime(rfc3339: text) else { throw invalid("\(member) is no time in RFC 3339 format") }
            return time
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
        let envelope = Envelope(
            id: EventID(id),
            topic: topic,
            payload: bytes,
            contentType: contentType,
            contentEncoding: contentEncoding,
            version: version,
            time: try time(self.time, "time"),
            source: source,
            correlationID: correlationID.map { CorrelationID($0) },
            causationID: causationID.map { EventID($0) },
            partitionKey: partitionKey,
            headers: EventHeaders(table)
        )
        var first: EventTime?
        if let firstFailure { first = try time(firstFailure, "firstFailure") }
        return DeadLetter(
            envelope: envelope,
            group: group,
            queue: queue,
            failure: Failure(
                reason: Failure.Reason(rawValue: reason),
                errorType: errorType,
                message: error,
                attempt: attempts
            ),
            attempts: attempts,
            firstFailure: first,
            lastFailure: try time(lastFailure, "lastFailure")
        )
    }
}
