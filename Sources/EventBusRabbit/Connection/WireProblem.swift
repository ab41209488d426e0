import EventBus

/// Why an event cannot go over a connection. Pure.
///
/// The library finds out only when the first part of the event has gone out, and then the connection is lost: so this is
/// asked before.
struct WireProblem: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// A text is longer than AMQP allows.
        case textTooLong
        /// The properties do not fit into one frame.
        case propertiesTooLarge
    }

    var kind: Kind
    var text: String

    /// The problem as users of the bus see it.
    var busError: EventBusError {
        switch kind {
        case .textTooLong: EventBusError(.invalidEnvelope, text)
        case .propertiesTooLarge: EventBusError(.tooLarge, text)
        }
    }
}

extension AMQPPublish {
    /// What a frame takes beside its payload.
    private static let frameOverhead = 8

    /// What keeps the event from going over a connection with frames of at most `frameMaximum` bytes.
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
