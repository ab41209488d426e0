import EventBus

/// The properties of AMQP's basic class that the bus reads or writes.
///
/// `user-id` and `cluster-id` are missing on purpose, and `expiration` is never read: in a republished event they would
/// drop it or close the channel.
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
    /// The time to live in milliseconds, as text. It is only written.
    var expiration: String?
    var isPersistent = true
    var headers: HeaderTable = [:]
    /// A Boolean value indicating whether this contains everything that was received, so that it can be sent again
    /// unchanged.
    var isLossless = true

    /// The maximum length of a property's text, in UTF-8 bytes, which is AMQP's limit for a short string.
    static let maximumTextLength = TransportLimits.maximumTextLength

    /// An upper bound of the size of the properties on the wire, in bytes.
    var encodedSize: Int { encodedSizeWithoutHeaders + headers.extent.size }

    /// The same size without the headers.
    var encodedSizeWithoutHeaders: Int {
        func size(_ text: String?) -> Int { 1 + (text?.utf8.count ?? 0) }
        return 32 + size(contentType) + size(contentEncoding) + size(correlationID) + size(replyTo) + size(messageID)
            + size(type) + size(appID) + size(expiration)
    }
}
