/// The limits of what an event may carry, the same on every transport.
///
/// An event that exceeds one is refused by `publish` on every transport, in memory too: so a unit test finds out what
/// RabbitMQ would refuse.
public enum TransportLimits {
    /// The longest delay of a scheduled event: about 29 hours.
    ///
    /// The delay levels on RabbitMQ are 20 binary digits of 100 ms. A longer delay is refused with code `.unsupported`.
    public static let maximumDelay = delayUnit * ((1 << delayLevels) - 1)

    /// The largest payload in bytes unless a transport's configuration says otherwise: 16 MiB. A larger one is refused
    /// with code `.tooLarge`.
    public static let maximumBodySize = 16 << 20

    /// The space of an event's headers on the wire, in bytes. Headers that need more are refused with code `.tooLarge`.
    ///
    /// They have to fit into one frame of 128 KiB, beside what a dead letter adds.
    public static let maximumHeaderSize = 120_000

    /// The longest identifier, key, source or content type, in UTF-8 bytes: AMQP's limit for a short string. A longer one
    /// is refused with code `.invalidEnvelope`.
    public static let maximumTextLength = 255

    /// The time after which a broker closes the channel of a consumer that has not settled a delivery, unless it is
    /// configured otherwise: 30 minutes. Everything that the consumer has not settled is delivered again.
    public static let consumerTimeout: Duration = .seconds(1800)

    /// The number of binary levels that make up a delay.
    package static let delayLevels = 20
    /// The delay of the lowest level.
    package static let delayUnit: Duration = .milliseconds(100)

    /// Checks the length of a delay.
    ///
    /// - Throws: ``EventBusError`` with code `.unsupported` for one above ``maximumDelay``.
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
    /// - Throws: ``EventBusError`` with code `.tooLarge` for one of more than `maximum` bytes.
    package static func check(bodySize: Int, maximum: Int) throws(EventBusError) {
        guard bodySize > maximum else { return }
        throw EventBusError(
            .tooLarge,
            "the payload has \(bodySize) bytes, \(maximum) are allowed; "
                + "store what is large elsewhere and publish a reference to it"
        )
    }
}
