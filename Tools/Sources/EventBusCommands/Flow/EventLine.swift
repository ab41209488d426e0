import EventBus
import FoundationEssentials

/// An event as a line of JSON. The payload is its exact text, or Base64 if it is not UTF-8.
struct EventLine: Encodable {
    var id: String
    var topic: String
    var time: String
    var source: String?
    var correlationID: String?
    var causationID: String?
    var partitionKey: String?
    var version: Int
    var contentType: String
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
        headers = envelope.headers.isEmpty ? nil : HeaderJSON.object(envelope.headers.values)
        payload = String(validating: envelope.payload, as: UTF8.self)
        payloadBase64 = payload == nil ? Data(envelope.payload).base64EncodedString() : nil
    }
}
