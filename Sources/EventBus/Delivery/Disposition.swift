/// What becomes of a delivery.
public enum Disposition: Sendable {
    /// It was handled: the broker forgets it.
    case acknowledged
    /// It failed and is delivered to the same subscription again, as the next attempt, once `after` has passed.
    case retried(after: Duration, Failure)
    /// It cannot be handled at present: it is delivered again, as the same attempt, once `after` has passed.
    ///
    /// With a failure, only a newer release can handle it or a store or broker is away; the transport adds up the delays
    /// of such deferrals until the next attempt (``Delivery/deferredFor``). Without one, another consumer is handling the
    /// event.
    case deferred(after: Duration, Failure?)
    /// It failed for good and goes to the group's dead letters.
    case deadLettered(Failure)
    /// It was not handled, through no fault of its own (a shutdown): the broker delivers it again, as the same attempt.
    case handedBack
}

/// Why a delivery was not acknowledged.
public struct Failure: Hashable, Sendable {
    /// Why a delivery went to the dead letters.
    public struct Reason: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
        /// The reason as it stands on the wire.
        public var rawValue: String

        /// A reason from the wire, known or not.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The reason as it stands on the wire.
        public var description: String { rawValue }

        /// The handler threw at every attempt that the retry policy allows.
        public static let attemptsExhausted = Reason(rawValue: "attempts_exhausted")
        /// The handler threw an error that says retrying is no use; see ``NonRetryable``.
        public static let nonRetryable = Reason(rawValue: "non_retryable")
        /// The handler threw, and the time for which a by-key or broadcast subscription may hold an event for its
        /// retries would have passed before the next attempt; see ``SubscriptionOptions/maximumHold``.
        public static let holdLimit = Reason(rawValue: "hold_limit")
        /// Only a newer release can handle the event, and none did within ``SubscriptionOptions/maximumDeferral``.
        public static let newerVersion = Reason(rawValue: "newer_version")
        /// A store or broker that the handler needs was away for longer than ``SubscriptionOptions/maximumDeferral``.
        public static let unavailable = Reason(rawValue: "unavailable")
        /// The payload could not be decoded.
        public static let undecodable = Reason(rawValue: "undecodable")
        /// The event's topic is outside what the subscription asks for: an old binding is still in place.
        public static let staleBinding = Reason(rawValue: "stale_binding")
        /// Consumers vanished with the delivery too often: it probably kills them.
        public static let deliveryLimit = Reason(rawValue: "delivery_limit")
        /// The event's time to live ended in the subscription's queue before a consumer took it.
        public static let expired = Reason(rawValue: "expired")
        /// Nothing about the event says which topic it has.
        public static let noTopic = Reason(rawValue: "no_topic")
        /// A delayed event found no queue when its delay had passed.
        public static let unroutableDelay = Reason(rawValue: "unroutable_delay")
        /// The handler failed, and the delivery will be tried again.
        public static let handlerFailed = Reason(rawValue: "handler_failed")
    }

    /// The longest message that is kept, in UTF-8 bytes.
    public static let maximumMessageLength = 1024

    /// The kind of failure.
    public var reason: Reason
    /// The type of the error.
    public var errorType: String
    /// The error in words, without control characters, cut to ``maximumMessageLength``.
    public var message: String
    /// The number of the attempt that failed; above the delivery's own where attempts were made while it was held.
    public var attempt: Int
    /// When the first attempt failed, where attempts were made while the delivery was held; otherwise the transport
    /// knows.
    public var firstFailure: EventTime?

    /// A failure with these words.
    public init(reason: Reason, errorType: String, message: String, attempt: Int = 1) {
        self.attempt = attempt
        self.reason = reason
        self.errorType = errorType.printable
        self.message = message.prefixed(toUTF8Length: Self.maximumMessageLength).printable
            .prefixed(toUTF8Length: Self.maximumMessageLength)
    }

    /// The failure that `error` describes.
    public init(reason: Reason, error: any Error, attempt: Int = 1) {
        self.init(
            reason: reason,
            errorType: String(reflecting: type(of: error)),
            message: String(describing: error),
            attempt: attempt
        )
    }
}
