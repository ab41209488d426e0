/// How a subscription takes and handles its deliveries.
public struct SubscriptionOptions: Sendable {
    /// In which order deliveries are handled.
    public enum Ordering: Hashable, Sendable {
        /// As they come, several at once, retries later.
        case none
        /// Events of one ``Event/partitionKey`` one after another, different keys at once, across all instances.
        ///
        /// The queue has a single active consumer: one instance works, the others stand by. A failed event holds its
        /// key until it is handled or lies in the dead letters, for at most ``SubscriptionOptions/maximumLaneHold``.
        case byPartitionKey
    }

    /// For how long a by-key subscription holds a failing event, retries included, before it gives it up: well below
    /// the 30 minutes after which a broker closes the channel of a consumer that does not settle.
    public static let maximumLaneHold: Duration = .seconds(900)

    /// How many deliveries are handled at once, and how many the broker hands over unsettled; 16 unless stated.
    public var concurrency: Int
    /// What happens after a failure.
    public var retry: RetryPolicy
    /// How long a handler may take before it is cancelled, as ``TimeoutMiddleware`` says; 5 minutes unless stated,
    /// `nil` for no limit.
    public var handlerTimeout: Duration?
    /// In which order deliveries are handled.
    public var ordering: Ordering
    /// Whether every instance gets every event, instead of one instance of the group. Events that arrive while an
    /// instance is not connected are not kept for it, and failures are retried in the process only.
    public var broadcast: Bool
    /// The store of handled events, so that a duplicate does not run the handler again. Defaults to `nil`: none.
    ///
    /// While the inbox cannot be used the subscription pauses: its deliveries stay unacknowledged, one at a time probes
    /// the inbox, and no attempt counts. A broadcast subscription cannot have one, because its instances would share the
    /// records.
    public var inbox: (any Inbox)?
    /// How ``inbox`` is used.
    public var inboxOptions: InboxOptions
    /// Patterns of an earlier release of this subscription, to be unbound from its queue.
    public var formerPatterns: [TopicPattern]
    /// Content types beside the codec's own whose payloads the bus's codec reads, such as `text/plain` where another
    /// system publishes JSON under it; `*` for every type. Empty by default. `application/json`, `text/json` and types
    /// that end in `+json` need not be named for a codec of JSON.
    public var acceptedContentTypes: Set<String>
    /// Whether a responder's error reaches the requester in words. Off by default: the requester learns that the
    /// responder failed, and the words, which may quote internals, stay in the responder's log.
    public var repliesWithErrorText: Bool
    /// What this subscription's deliveries pass through, inside the bus's own middleware.
    public var middleware: [any ConsumeMiddleware]

    /// Options; what is left out is as an ordinary subscription wants it.
    public init(
        concurrency: Int = 16,
        retry: RetryPolicy = .default,
        handlerTimeout: Duration? = .seconds(300),
        ordering: Ordering = .none,
        broadcast: Bool = false,
        inbox: (any Inbox)? = nil,
        inboxOptions: InboxOptions = .init(),
        formerPatterns: [TopicPattern] = [],
        acceptedContentTypes: Set<String> = [],
        repliesWithErrorText: Bool = false,
        middleware: [any ConsumeMiddleware] = []
    ) {
        self.concurrency = concurrency
        self.retry = retry
        self.handlerTimeout = handlerTimeout
        self.ordering = ordering
        self.broadcast = broadcast
        self.inbox = inbox
        self.inboxOptions = inboxOptions
        self.formerPatterns = formerPatterns
        self.acceptedContentTypes = acceptedContentTypes
        self.repliesWithErrorText = repliesWithErrorText
        self.middleware = middleware
    }
}
