/// How a subscription takes and handles its deliveries.
public struct SubscriptionOptions: Sendable {
    /// In which order deliveries are handled.
    public enum Ordering: Hashable, Sendable {
        /// As they come, several at once, retries later.
        case none
        /// Events of one ``Event/partitionKey`` one after another, different keys at once, across all instances.
        ///
        /// The queue has a single active consumer: one instance works, the others stand by. A failed event holds its
        /// key until it is handled or lies in the dead letters, see ``SubscriptionOptions/maximumHold``.
        case byPartitionKey
    }

    /// The number of deliveries that are handled at once, by one instance. Defaults to 16.
    public var concurrency: Int
    /// The number of deliveries that the broker hands over before the first of them is settled; `nil` for a number that
    /// suits most. Defaults to `nil`: the concurrency, or by key sixteen times as many, and at least 256.
    ///
    /// It is at least the concurrency, and at most 65,535. Each delivery in hand takes memory, and other instances
    /// cannot have it. Two things ask for more of them than there are handlers:
    ///
    /// - By key, events that wait behind a failed one are in hand without being handled. Other keys go on as long as
    ///   fewer than `prefetch` wait.
    /// - Over a link with latency a subscription receives at most `prefetch` events in each round trip: 16 over 10 ms
    ///   are 1,600 events a second, 256 are 25,600.
    public var prefetch: Int?
    /// The age, counted from its arrival, up to which a by-key or broadcast subscription holds a failed delivery for its
    /// next attempt. Defaults to 15 minutes.
    ///
    /// A broker closes the channel of a consumer that leaves a delivery unsettled for its consumer timeout, 30 minutes
    /// by default: where it is lower, set this to half of it. If the delay that may follow an attempt could end later,
    /// the attempt is the last one (``EventContext/isLastAttempt``), and the reason of the dead letter is
    /// ``Failure/Reason/holdLimit``. An event that waits so long behind others that too little of this time is left for
    /// its own retries is returned to the broker first, with all others in hand and in their order, and begins with its
    /// full time. Attempts that were made are not forgotten by that.
    public var maximumHold: Duration
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
    /// How long an event may be deferred without an attempt before it goes to the dead letters. Defaults to 1 hour.
    ///
    /// Two kinds of events are deferred: those of a newer ``Event/version`` than this instance knows, until a newer
    /// instance takes them (``Failure/Reason/newerVersion``), and those whose handler threw an ``EventBusError`` because a
    /// store or broker is away (``EventBusError/Code/isOutage``, ``Failure/Reason/unavailable``). The time counts from the
    /// first deferral, and begins again after each attempt.
    public var maximumDeferral: Duration
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
        prefetch: Int? = nil,
        retry: RetryPolicy = .default,
        handlerTimeout: Duration? = .seconds(300),
        ordering: Ordering = .none,
        broadcast: Bool = false,
        inbox: (any Inbox)? = nil,
        inboxOptions: InboxOptions = .init(),
        maximumDeferral: Duration = .seconds(3600),
        formerPatterns: [TopicPattern] = [],
        acceptedContentTypes: Set<String> = [],
        repliesWithErrorText: Bool = false,
        middleware: [any ConsumeMiddleware] = [],
        maximumHold: Duration = .seconds(900)
    ) {
        self.concurrency = concurrency
        self.prefetch = prefetch
        self.maximumHold = maximumHold
        self.retry = retry
        self.handlerTimeout = handlerTimeout
        self.ordering = ordering
        self.broadcast = broadcast
        self.inbox = inbox
        self.inboxOptions = inboxOptions
        self.maximumDeferral = maximumDeferral
        self.formerPatterns = formerPatterns
        self.acceptedContentTypes = acceptedContentTypes
        self.repliesWithErrorText = repliesWithErrorText
        self.middleware = middleware
    }
}

extension SubscriptionOptions {
    /// Whether an inbox is asked about each delivery.
    var usesInbox: Bool { inbox != nil || middleware.contains { $0 is DeduplicationMiddleware } }

    /// Whether failed deliveries are held and tried again in the process.
    var holdsRetries: Bool { ordering == .byPartitionKey || broadcast }

    /// The number of deliveries in hand that the broker is asked for.
    var effectivePrefetch: Int {
        if let prefetch { return prefetch }
        guard ordering == .byPartitionKey else { return concurrency }
        return min(max(256, concurrency.multipliedReportingOverflow(by: 16).partialValue), Int(UInt16.max))
    }

    /// How the subscription's queue of deliveries works.
    var queueOptions: DeliveryQueue.Options {
        let byKey = ordering == .byPartitionKey
        var options = DeliveryQueue.Options()
        options.byKey = byKey
        options.workers = min(max(1, concurrency), Int(UInt16.max))
        // Nobody takes over from the handler of a broadcast.
        options.cancelsRevoked = !broadcast
        options.tooOld =
            if broadcast { .begins } else if byKey { .reopensChannel } else { .returns }
        options.maximumWait = maximumWait
        options.watchesAge = holdsRetries || effectivePrefetch > concurrency || usesInbox
        return options
    }

    /// How long a delivery may wait for its first attempt: what its retries need has to be left of ``maximumHold``, or
    /// half of it where they could take longer.
    private var maximumWait: Duration {
        guard holdsRetries else { return maximumHold }
        var needed = Duration.zero
        var attempt = 1
        // Bounded, because nobody checks how many attempts a policy has.
        while attempt < min(retry.maxAttempts, 1000) {
            needed += retry.bound(afterAttempt: attempt)
            if needed >= maximumHold / 2 { return maximumHold / 2 }
            attempt += 1
        }
        return maximumHold - needed
    }
}
