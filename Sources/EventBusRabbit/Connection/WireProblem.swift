import EventBus

/// The reason why an event cannot be sent over a connection.
///
/// The library would find out only after it has sent a part of the event, and the connection would be lost. So it is
/// checked before.
struct WireProblem: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// A text is longer than AMQP allows.
        case textTooLong
        /// The properties do not fit into one frame.
        case propertiesTooLarge
    }

    var kind: Kind
    var text: String

    /// The problem in the form in which users of the bus see it.
    var busError: EventBusError {
        switch kind {
        case .textTooLong: EventBusError(.invalidEnvelope, text)
        case .propertiesTooLarge: EventBusError(.tooLarge, text)
        }
    }
}

extension AMQPPublish {
    /// The size of a frame without its payload.
    private static let frameOverhead = 8

    /// Returns the reason why the event cannot be sent in frames of at most `frameMaximum` bytes, or `nil`.
    func problem(frameMaximum: Int) -> WireProblem? {
        let limit = AMQPProperties.maximumTextLength
        if exchange.utf8.count > limit { return .tooLong("exchange", exchange.utf8.count) }
        if routingKey.utf8.count > limit { return .tooLong("routing key", routingKey.utf8.count) }
        if let (name, length) = properties.overlongText { return .tooLong(name, length) }
        let (size, longestName) = properties.headers.extent
        if longestName > limit { return .tooLong("longest name of a header", longestName) }
        let total = properties.encodedSizeWithoutHeaders + size
        if total > frameMaximum - Self.frameOverhead {
            return WireProblem(
                kind: .propertiesTooLarge,
                text: "the headers have \(total) bytes, the broker's frames hold \(frameMaximum - Self.frameOverhead)"
            )
        }
        return nil
    }
}

extension WireProblem {
    fileprivate static func tooLong(_ name: String, _ length: Int) -> WireProblem {
        WireProblem(
            kind: .textTooLong,
            text: "the \(name) has \(length) bytes, \(AMQPProperties.maximumTextLength) are allowed"
        )
    }
}

extension AMQPProperties {
    /// A property whose text is longer than AMQP allows.
    fileprivate var overlongText: (name: String, length: Int)? {
        func check(_ name: String, _ text: String?) -> (String, Int)? {
            guard let length = text?.utf8.count, length > Self.maximumTextLength else { return nil }
            return (name, length)
        }
        return check("message id", messageID) ?? check("correlation id", correlationID) ?? check("type", type)
            ?? check("app id", appID) ?? check("content type", contentType)
            ?? check("content encoding", contentEncoding) ?? check("reply address", replyTo)
    }
}
