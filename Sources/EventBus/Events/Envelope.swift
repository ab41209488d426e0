/// An event in its wire format: its identity, topic, headers and encoded payload.
///
/// ```swift
/// let envelope = try bus.envelope(for: OrderCreated(orderID: "42"))
/// try await bus.publish(envelope)
/// ```
public struct Envelope: Equatable, Sendable {
    /// The event's identity, which is the same in every delivery of it. An event of another system that has none is
    /// identified by its content. See ``EventIdentity``.
    public var id: EventID
    /// The topic, which identifies the kind of event.
    public var topic: Topic
    /// The encoded event, in the format of ``contentType``.
    public var payload: [UInt8]
    /// The media type of the payload, which selects the codec of the receiver.
    public var contentType: String
    /// The additional encodings of the payload's bytes in the order in which they were applied, such as `gzip` or
    /// `gzip, aes256gcm`, or `nil` for none.
    ///
    /// The bus applies and undoes those of its ``PayloadStep``s, and a handler's envelope has none of them. A
    /// subscription by pattern receives an event with another encoding as it arrived, and may read the payload itself.
    public var contentEncoding: String?
    /// The version of the payload's format. See ``Event/version``.
    public var version: Int
    /// The time at which the event was published.
    public var time: EventTime
    /// The name of the service that published the event, if it was configured.
    public var source: String?
    /// The chain of causes that the event belongs to. A blank one is stored as `nil`.
    public var correlationID: CorrelationID? {
        didSet { if correlationID?.isBlank == true { correlationID = nil } }
    }
    /// The event whose handler published this one. A blank one is stored as `nil`.
    public var causationID: EventID? {
        didSet { if causationID?.isBlank == true { causationID = nil } }
    }
    /// The key that orders this event among others. See ``Event/partitionKey``.
    public var partitionKey: String? {
        get { exactPartitionKey?.text }
        set { exactPartitionKey = newValue.map { ExactText($0) } }
    }
    /// The key in the form in which it is compared: byte by byte.
    package private(set) var exactPartitionKey: ExactString?
    /// The headers that accompany the payload: the trace context and the user's headers.
    public var headers: EventHeaders

    /// Creates an envelope. The defaults are those of a new event with a JSON payload.
    public init(
        id: EventID = EventID(),
        topic: Topic,
        payload: [UInt8],
        contentType: String = "application/json",
        contentEncoding: String? = nil,
        version: Int = 1,
        time: EventTime = .now(),
        source: String? = nil,
        correlationID: CorrelationID? = nil,
        causationID: EventID? = nil,
        partitionKey: String? = nil,
        headers: EventHeaders = [:]
    ) {
        self.id = id
        self.topic = topic
        self.payload = payload
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.version = version
        self.time = time
        self.source = source
        self.correlationID = correlationID?.isBlank == true ? nil : correlationID
        self.causationID = causationID?.isBlank == true ? nil : causationID
        self.exactPartitionKey = partitionKey.map { ExactText($0) }
        self.headers = headers
    }

    /// Checks for content that no transport accepts: texts that are too long, reserved names, and values that cannot be
    /// sent.
    ///
    /// Every transport calls it before publishing, so that all refuse the same events.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidEnvelope`, which names the field, or `.tooLarge` for headers that
    ///   exceed ``TransportLimits/maximumHeaderSize``.
    package func validate() throws(EventBusError) {
        let limit = TransportLimits.maximumTextLength
        func tooLong(_ field: String, _ length: Int) -> EventBusError {
            EventBusError(.invalidEnvelope, "the \(field) has \(length) bytes, \(limit) are allowed")
        }
        if id.wireLength == 0 { throw EventBusError(.invalidEnvelope, "the event id is empty") }
        if id.wireLength > limit { throw tooLong("event id", id.wireLength) }
        if let length = correlationID?.wireLength, length > limit { throw tooLong("correlation id", length) }
        if let length = causationID?.wireLength, length > limit { throw tooLong("causation id", length) }
        if let length = source?.utf8.count, length > limit { throw tooLong("source", length) }
        if let length = partitionKey?.utf8.count, length > limit { throw tooLong("partition key", length) }
        if contentType.utf8.count > limit { throw tooLong("content type", contentType.utf8.count) }
        if let length = contentEncoding?.utf8.count, length > limit { throw tooLong("content encoding", length) }
        if headers.isEmpty { return }
        if let problem = headers.problem { throw EventBusError(.invalidEnvelope, problem) }
        let size = headerSize
        if size > TransportLimits.maximumHeaderSize {
            throw EventBusError(
                .tooLarge,
                "the headers have \(size) bytes, \(TransportLimits.maximumHeaderSize) are allowed; "
                    + "put what is large into the payload"
            )
        }
    }
}
