/// The limits of an event, which are the same on every transport.
///
/// `publish` refuses an event that exceeds a limit on every transport, including the in-memory one, so that a unit test
/// reveals the events that RabbitMQ would refuse.
///
/// ```swift
/// guard delay <= TransportLimits.maximumDelay else { return store(event, due: delay) }
/// ```
public enum TransportLimits {
    /// The longest delay of a scheduled event: about 29 hours.
    ///
    /// RabbitMQ's delay levels are 20 binary digits of 100 ms. A longer delay is refused with code `.unsupported`.
    public static let maximumDelay = delayUnit * ((1 << delayLevels) - 1)

    /// The default limit for the size of a payload, in bytes: 16 MiB. A transport's configuration may change it. A
    /// larger payload is refused with code `.tooLarge`.
    public static let maximumBodySize = 16 << 20

    /// The maximum size of an event's headers on the wire, in bytes. Larger headers are refused with code `.tooLarge`.
    ///
    /// The headers have to fit into one frame of 128 KiB, together with those that are added to a dead letter.
    public static let maximumHeaderSize = 120_000

    /// The maximum length of an identifier, key, source or content type, in UTF-8 bytes, which is AMQP's limit for a
    /// short string. A longer one is refused with code `.invalidEnvelope`.
    public static let maximumTextLength = 255

    /// The time after which a broker with default settings closes the channel of a consumer that has not settled a
    /// delivery: 30 minutes. All its unsettled deliveries are redelivered.
    public static let consumerTimeout: Duration = .seconds(1800)

    /// The number of binary levels that make up a delay.
    package static let delayLevels = 20
    /// The delay of the lowest level.
    package static let delayUnit: Duration = .milliseconds(100)

    /// Checks the delay and the expiration of a publish.
    ///
    /// - Throws: ``EventBusError`` with code `.unsupported` if the delay exceeds ``maximumDelay``, or if both are set.
    package static func check(_ options: TransportPublishOptions) throws(EventBusError) {
        try check(delay: options.delay)
        // It would shorten the delay, because the event expires in the queues of the delay, too.
        if options.delay > .zero, options.expiration != nil {
            throw EventBusError(.unsupported, "an event with a delay cannot expire")
        }
    }

    /// Checks the length of a delay.
    ///
    /// - Throws: ``EventBusError`` with code `.unsupported` if it exceeds ``maximumDelay``.
    package static func check(delay: Duration) throws(EventBusError) {
        guard delay > maximumDelay else { return }
        throw EventBusError(
            .unsupported,
            "a delay of \(delay) is too long: the broker holds an event for \(maximumDelay) at most; "
                + "store the event in an outbox, or schedule it again when it arrives"
        )
    }

    /// Checks the size of a payload.
    ///
    /// - Throws: ``EventBusError`` with code `.tooLarge` if it exceeds `maximum` bytes.
    package static func check(bodySize: Int, maximum: Int) throws(EventBusError) {
        guard bodySize > maximum else { return }
        throw EventBusError(
            .tooLarge,
            "the payload has \(bodySize) bytes, \(maximum) are allowed; "
                + "store what is large elsewhere and publish a reference to it"
        )
    }
}
