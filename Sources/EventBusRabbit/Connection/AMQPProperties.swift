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
    /// Whether this holds everything that came over the wire, so that it could go out again as it came.
    var isLossless = true

    /// The longest text of a property, in UTF-8 bytes: AMQP's limit for a short string.
    static let maximumTextLength = 255

    /// What the properties take on the wire, in bytes; a little more than the exact figure.
    var encodedSize: Int { encodedSizeWithoutHeaders + headers.extent.size }

    /// The same without the headers.
    var encodedSizeWithoutHeaders: Int {
        func size(_ text: String?) -> Int { 1 + (text?.utf8.count ?? 0) }
        return 32 + size(contentType) + size(contentEncoding) + size(correlationID) + size(replyTo) + size(messageID)
            + size(type) + size(appID)
    }
}

extension [String: HeaderValue] {
    /// What the table takes on the wire, and the length of the longest name in it at whatever depth, in bytes.
    var extent: (size: Int, longestName: Int) {
        var (size, longest) = (4, 0)
        for (name, value) in self {
            let length = name.utf8.count
            let inner = value.extent
            size += 1 + length + inner.size
            longest = Swift.max(longest, length, inner.longestName)
        }
        return (size, longest)
    }

    /// The same for a table that is itself a value.
    fileprivate var tableExtent: (size: Int, longestName: Int) {
        let inner = extent
        return (1 + inner.size, inner.longestName)
    }
}

extension HeaderValue {
    /// What the value takes on the wire with its kind, and the length of the longest name in it, in bytes.
    var extent: (size: Int, longestName: Int) {
        switch self {
        case .string(let text): (5 + text.utf8.count, 0)
        case .bytes(let bytes): (5 + bytes.count, 0)
        case .int, .double, .timestamp: (9, 0)
        case .bool: (2, 0)
        case .null: (1, 0)
        case .array(let values):
            values.reduce((5, 0)) { sum, value in
                let inner = value.extent
                return (sum.0 + inner.size, max(sum.1, inner.longestName))
            }
        case .table(let values): values.tableExtent
        }
    }
}
