extension EventBusError.Code {
    /// A Boolean value that indicates whether the event itself is at fault.
    ///
    /// The same event fails in the same way whenever it is sent, whatever the state of the broker: it has to be changed.
    /// `true` for `.invalidTopic`, `.invalidEnvelope`, `.encodingFailed`, `.decodingFailed`, `.tooLarge` and
    /// `.unsupported` (the event asks for something that the transport cannot do). Every other code is about the broker,
    /// the store, the service or the time: the same event may go through later.
    public var isAboutTheEvent: Bool {
        switch self {
        case .invalidTopic, .invalidEnvelope, .encodingFailed, .decodingFailed, .tooLarge, .unsupported: true
        default: false
        }
    }

    /// A Boolean value that indicates whether the same call may succeed a moment later, although nobody has changed
    /// anything.
    ///
    /// `true` for `.timedOut`, `.indeterminate`, `.rejected`, `.blocked`, `.unavailable`, `.lockTimedOut` and
    /// `.mailboxFull`. After `.indeterminate` and `.rejected` some queues may hold the event: publish it again with the
    /// same ``PublishOptions/id``, so that an ``Inbox`` can suppress the duplicate. The other codes need a person, another
    /// release or another event first.
    public var isRetriable: Bool {
        switch self {
        case .timedOut, .indeterminate, .rejected, .blocked, .unavailable, .lockTimedOut, .mailboxFull: true
        default: false
        }
    }

    /// A Boolean value that indicates whether a broker or a store does not do its work, rather than the event or its
    /// handler being at fault.
    ///
    /// A handler that throws such an error has failed no attempt: its event is deferred and tried again as the same
    /// attempt, for at most ``SubscriptionOptions/maximumDeferral``. `true` for `.unavailable`, `.indeterminate`,
    /// `.blocked`, `.rejected`, `.accessRefused`, `.authenticationFailed`, `.notFound`, `.topologyClash` and
    /// `.shuttingDown`. `.timedOut` and `.lockTimedOut` are not among them, because the handler itself may be too slow.
    public var isOutage: Bool {
        switch self {
        case .unavailable, .indeterminate, .blocked, .rejected, .accessRefused, .authenticationFailed, .notFound,
            .topologyClash, .shuttingDown:
            true
        default: false
        }
    }

    /// A Boolean value that indicates whether the broker answered and refused the event's destination.
    ///
    /// A permission or an object is missing, or a queue takes nothing. Events to other destinations may go through.
    package var isRefusal: Bool {
        switch self {
        case .rejected, .accessRefused, .notFound, .topologyClash: true
        default: false
        }
    }
}
