/// An event of any type that a subscription by pattern has received.
///
/// ```swift
/// bus.subscribe(to: "order.#", group: "audit") { event, context in
///     context.logger.info("received \(event.envelope.payload.count) bytes")
/// }
/// ```
public struct ReceivedEvent: Sendable {
    /// The event in its wire format, with the encodings of the bus's payload steps undone.
    public let envelope: Envelope
    private let codecs: CodecRegistry

    init(envelope: Envelope, codecs: CodecRegistry) {
        self.envelope = envelope
        self.codecs = codecs
    }

    /// Creates an event that is decoded by `codec`.
    package init(envelope: Envelope, codec: any EventCodec) {
        self.init(envelope: envelope, codecs: CodecRegistry(encoder: codec, others: []))
    }

    /// The event's topic.
    public var topic: Topic { envelope.topic }

    /// Returns the event decoded as `type`, by the codec for its content type.
    ///
    /// - Throws: ``EventBusError`` with code `.decodingFailed`, which is not retried unless the handler catches it.
    public func decoded<Value: Decodable>(as type: Value.Type) throws -> Value {
        try codecs.decode(type, from: envelope)
    }
}

extension CodecRegistry {
    /// Decodes an envelope's payload with the codec for its content type.
    func decode<Value: Decodable>(_ type: Value.Type, from envelope: Envelope) throws(EventBusError) -> Value {
        if let encoding = envelope.contentEncoding, !encoding.isEmpty, encoding.lowercased() != "identity" {
            throw EventBusError(
                .decodingFailed,
                "event \(envelope.id) of topic \(envelope.topic) has the content encoding "
                    + "\(encoding.quotedForError), for which the bus has no payload step; add it to "
                    + "EventBusConfiguration.additionalPayloadSteps, or read the payload in a subscription by pattern"
            )
        }
        let codec = try decoder(for: envelope.contentType)
        do {
            return try codec.decode(type, from: envelope.payload)
        } catch {
            throw EventBusError(
                .decodingFailed,
                "event \(envelope.id) of topic \(envelope.topic) is no \(type) in \(codec.contentType)",
                underlying: error
            )
        }
    }

    /// Encodes a value with the bus's codec.
    func encode<Value: Encodable>(_ value: Value) throws(EventBusError) -> [UInt8] {
        do {
            return try encoder.encode(value)
        } catch {
            throw EventBusError(
                .encodingFailed,
                "the \(Value.self) could not be encoded as \(encoder.contentType)",
                underlying: error
            )
        }
    }
}
