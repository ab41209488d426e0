import EventBus

/// The properties of AMQP's basic class that the bus reads or writes.
///
/// `user-id` and `cluster-id` are missing on purpose, and `expiration` is never read: on a second journey they would drop
/// the event, or close the channel.
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
    /// The time to live in milliseconds, as text; written only.
    var expiration: String?
    var isPersistent = true
    var headers: [String: HeaderValue] = [:]
    /// Whether this holds everything that came over the wire, so that it could go out again as it came.
    var isLossless = true

    /// The longest text of a property, in UTF-8 bytes: AMQP's limit for a short string.
    static let maximumTextLength = TransportLimits.maximumTextLength

    /// What the properties take on the wire, in bytes; a little more than the exact figure.
    var encodedSize: Int { encodedSizeWithoutHeaders + headers.extent.size }

    /// The same without the headers.
    var encodedSizeWithoutHeaders: Int {
        func size(_ text: String?) -> Int { 1 + (text?.utf8.count ?? 0) }
        return 32 + size(contentType) + size(contentEncoding) + size(correlationID) + size(replyTo) + size(messageID)
            + size(type) + size(appID) + size(expiration)
    }
}
