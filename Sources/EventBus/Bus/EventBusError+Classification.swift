extension EventBusError.Code {
    /// A Boolean value indicating whether the event itself is at fault.
    ///
    /// The same event fails in the same way whenever it is sent, whatever the state of the broker, so it has to be
    /// changed. `true` for `.invalidTopic`, `.invalidEnvelope`, `.encodingFailed`, `.decodingFailed`, `.tooLarge` and
    /// `.unsupported` (the event requires a feature that the transport lacks). Every other code is about the broker,
    /// the store, the service or the time: the same event may succeed later.
    public var isAboutTheEvent: Bool {
        switch self {
        case .invalidTopic, .invalidEnvelope, .encodingFailed, .decodingFailed, .tooLarge, .unsupported: true
        default: false
        }
    }

    /// A Boolean value indicating whether the same call may succeed later without any intervention.
    ///
    /// `true` for `.timedOut`, `.indeterminate`, `.rejected`, `.blocked`, `.unavailable`, `.lockTimedOut`,
    /// `.mailboxFull` and `.rateLimited`. After `.indeterminate` and `.rejected` some queues may have the event:
    /// publish it again with the same ``PublishOptions/id``, so that an ``Inbox`` can suppress the duplicate. The other
    /// codes require a person, another release or another event first.
    public var isRetriable: Bool {
        switch self {
        case .timedOut, .indeterminate, .rejected, .blocked, .unavailable, .lockTimedOut, .mailboxFull, .rateLimited:
            true
        default: false
        }
    }

    /// A Boolean value indicating whether a broker or a store is not working, and neither the event nor its handler is
    /// at fault.
    ///
    /// A handler that throws such an error has not used up an attempt: its event is deferred and retried as the same
    /// attempt, for at most ``SubscriptionOptions/maximumDeferral``. `true` for `.unavailable`, `.indeterminate`,
    /// `.blocked`, `.rejected`, `.accessRefused`, `.authenticationFailed`, `.notFound`, `.topologyClash` and
    /// `.shuttingDown`. It is `false` for `.timedOut` and `.lockTimedOut`, because the handler itself may be too slow,
    /// and for `.rateLimited`, which postpones the event like a ``RetryLater`` whose attempt does not count.
    public var isOutage: Bool {
        switch self {
        case .unavailable, .indeterminate, .blocked, .rejected, .accessRefused, .authenticationFailed, .notFound,
            .topologyClash, .shuttingDown:
            true
        default: false
        }
    }

    /// A Boolean value indicating whether the broker answered and refused the event's destination.
    ///
    /// A permission or an object is missing, or a queue accepts nothing. Events to other destinations may succeed.
    package var isRefusal: Bool {
        switch self {
        case .rejected, .accessRefused, .notFound, .topologyClash: true
        default: false
        }
    }
}
