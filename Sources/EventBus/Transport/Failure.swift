/// The reason why a delivery was not acknowledged.
public struct Failure: Hashable, Sendable {
    /// The reason why a delivery became a dead letter.
    public struct Reason: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
        /// The reason in its wire format.
        public var rawValue: String

        /// Creates a reason from its wire format. It may be unknown to this release.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The reason in its wire format.
        public var description: String { rawValue }

        /// The handler threw at every attempt that the retry policy allows.
        public static let attemptsExhausted = Reason(rawValue: "attempts_exhausted")
        /// The handler threw, and the next attempt would be later than the retry policy allows. See
        /// ``RetryPolicy/maximumTime``.
        public static let retryTimeExhausted = Reason(rawValue: "retry_time_exhausted")
        /// The handler threw an error that a retry cannot fix. See ``NonRetryable``.
        public static let nonRetryable = Reason(rawValue: "non_retryable")
        /// The handler threw, and the next attempt would be later than a by-key or broadcast subscription may hold an
        /// event for its retries. See ``SubscriptionOptions/maximumHold``.
        public static let holdLimit = Reason(rawValue: "hold_limit")
        /// Only a newer release can handle the event, and none did within ``SubscriptionOptions/maximumDeferral``.
        public static let newerVersion = Reason(rawValue: "newer_version")
        /// A store or broker that the handler needs was unreachable for longer than
        /// ``SubscriptionOptions/maximumDeferral``.
        public static let unavailable = Reason(rawValue: "unavailable")
        /// The handler postponed the event without counting an attempt, for longer than
        /// ``SubscriptionOptions/maximumDeferral``. See ``RetryLater``.
        public static let postponed = Reason(rawValue: "postponed")
        /// The subscription's inbox failed for this event for longer than ``SubscriptionOptions/maximumDeferral``, while
        /// it worked for other events.
        public static let inboxFailed = Reason(rawValue: "inbox_failed")
        /// Another consumer had claimed the event in the subscription's inbox for longer than
        /// ``SubscriptionOptions/maximumDeferral``.
        public static let inProgress = Reason(rawValue: "in_progress")
        /// The payload could not be decoded.
        public static let undecodable = Reason(rawValue: "undecodable")
        /// The subscription does not request the event's topic, because an old binding still exists.
        public static let staleBinding = Reason(rawValue: "stale_binding")
        /// Consumers vanished with the delivery too often, so it probably crashes them.
        public static let deliveryLimit = Reason(rawValue: "delivery_limit")
        /// The event's time to live ended in the subscription's queue before it was consumed.
        public static let expired = Reason(rawValue: "expired")
        /// The event contains no topic.
        public static let noTopic = Reason(rawValue: "no_topic")
        /// A copy of a message came through the delay levels into the queue of another subscription. It cannot be replayed,
        /// because its publisher may have had no permission to write there.
        public static let misrouted = Reason(rawValue: "misrouted")
        /// A delayed event matched no queue when it was due.
        public static let unroutableDelay = Reason(rawValue: "unroutable_delay")
        /// The handler failed, and the delivery will be retried.
        public static let handlerFailed = Reason(rawValue: "handler_failed")
    }

    /// The maximum length of the name of an error type, in UTF-8 bytes.
    public static let maximumErrorTypeLength = 256
    /// The maximum length of a stored message, in UTF-8 bytes.
    public static let maximumMessageLength = 1024

    /// The kind of failure.
    public var reason: Reason
    /// The type of the error, without control characters, truncated to ``maximumErrorTypeLength``.
    public var errorType: String
    /// The text of the error, without control characters, truncated to ``maximumMessageLength``.
    public var message: String
    /// The number of the failed attempt. It is greater than that of the delivery if attempts were made while the
    /// delivery was held.
    public var attempt: Int
    /// The time at which the first attempt failed, if attempts were made while the delivery was held. Otherwise the
    /// transport knows it.
    public var firstFailure: EventTime?

    /// Creates a failure with this text.
    public init(reason: Reason, errorType: String, message: String, attempt: Int = 1) {
        self.attempt = attempt
        self.reason = reason
        self.errorType = errorType.printable(upToUTF8Length: Self.maximumErrorTypeLength)
        self.message = message.printable(upToUTF8Length: Self.maximumMessageLength)
    }

    /// Creates a failure that describes `error`.
    public init(reason: Reason, error: any Error, attempt: Int = 1) {
        self.init(
            reason: reason,
            errorType: String(reflecting: type(of: error)),
            message: String(describing: error),
            attempt: attempt
        )
    }
}
