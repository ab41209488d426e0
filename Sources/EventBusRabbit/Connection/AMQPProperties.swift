import EventBus

/// The properties of AMQP's basic class that the bus reads or writes.
///
/// `expiration`, `user-id` and `cluster-id` are missing on purpose: on a second journey they would drop the event, or
/// close the channel.
struct AMQPProperties: Sendable {
    var contentType: String?
    var contentEncoding: String?
    var correlationID: String?
    var replyTo: String?
    var messageID: String?
    var type: String?
    var appID: String?
    var timestamp: Int64?
    var priority: UInt8?
    var isPersistent = true
    var headers: [String: HeaderValue] = [:]
    /// Whether `headers` holds everything that came over the wire.
    var headersAreLossless = true

    /// The longest text of a property, in UTF-8 bytes: AMQP's limit for a short string.
    static let maximumTextLength = 255

    /// What the properties take on the wire, in bytes; a little more than the exact figure.
    var encodedSize: Int {
        var size = 32
        for text in [contentType, contentEncoding, correlationID, replyTo, messageID, type, appID] {
            size += 1 + (text?.utf8.count ?? 0)
        }
        return size + headers.encodedSize
    }
}

extension [String: HeaderValue] {
    /// What the table takes on the wire, in bytes.
    var encodedSize: Int {
        reduce(4) { $0 + 1 + $1.key.utf8.count + $1.value.encodedSize }
    }
}

extension HeaderValue {
    /// What the value takes on the wire with its kind, in bytes.
    var encodedSize: Int {
        switch self {
        case .string(let text): 5 + text.utf8.count
        case .bytes(let bytes): 5 + bytes.count
        case .int, .double, .timestamp: 9
        case .bool: 2
        case .null: 1
        case .array(let values): values.reduce(5) { $0 + $1.encodedSize }
        case .table(let values): 1 + values.encodedSize
        }
    }
}
