/// A delivery that failed permanently, with information about the failure.
///
/// ```swift
/// for letter in try await bus.deadLetters(of: "inventory").entries(limit: 10) {
///     print(letter.envelope.topic, letter.failure.reason, letter.failure.message, letter.attempts)
///     if let order = try? letter.decoded(as: OrderCreated.self) { print(order.orderID) }
/// }
/// ```
public struct DeadLetter: Sendable {
    /// The event, with its payload byte for byte as it arrived.
    public var envelope: Envelope
    /// The group that could not handle the event.
    public var group: String
    /// The queue from which the event was dead-lettered, `GROUP.NAME`.
    public var queue: String
    /// The failure that made the event a dead letter.
    public var failure: Failure
    /// The number of attempts.
    public var attempts: Int
    /// The time at which the first attempt failed, or `nil` if there was none.
    public var firstFailure: EventTime?
    /// The time at which the last attempt failed or the delivery was given up.
    public var lastFailure: EventTime

    /// Creates a dead letter. It is called by transports only.
    public init(
        envelope: Envelope,
        group: String,
        queue: String,
        failure: Failure,
        attempts: Int,
        firstFailure: EventTime?,
        lastFailure: EventTime
    ) {
        self.envelope = envelope
        self.group = group
        self.queue = queue
        self.failure = failure
        self.attempts = attempts
        self.firstFailure = firstFailure
        self.lastFailure = lastFailure
    }

    /// Returns the event decoded as `type`.
    ///
    /// ```swift
    /// for letter in try await bus.deadLetters(of: "inventory").entries() {
    ///     print(try letter.decoded(as: OrderCreated.self).orderID)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - codec: The codec of the payload. Defaults to plain JSON.
    ///   - payloadSteps: The steps that undo the payload's encodings. Defaults to none.
    /// - Throws: ``EventBusError`` with code `.decodingFailed`.
    public func decoded<Value: Decodable>(
        as type: Value.Type,
        codec: any EventCodec = JSONEventCodec(),
        payloadSteps: [any PayloadStep] = []
    ) throws(EventBusError) -> Value {
        try CodecRegistry(encoder: codec, others: [])
            .decode(type, from: PayloadPipeline(encoders: [], others: payloadSteps).decoded(envelope) ?? envelope)
    }
}
