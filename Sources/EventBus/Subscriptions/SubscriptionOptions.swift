/// The options of a subscription.
///
/// ```swift
/// var options = SubscriptionOptions(concurrency: 4)
/// options.retry = RetryPolicy(maximumAttempts: 5)
/// options.handlerTimeout = .seconds(30)
/// ```
public struct SubscriptionOptions: Sendable {
    /// The order in which deliveries are handled.
    ///
    /// ```swift
    /// let options = SubscriptionOptions(concurrency: 8, ordering: .byPartitionKey)
    /// ```
    public enum Ordering: Hashable, Sendable {
        /// Deliveries are handled in the order of arrival, several at once, and retries later.
        case none
        /// Events with the same ``Event/partitionKey`` are handled one after another, and different keys concurrently,
        /// across all instances.
        ///
        /// The queue has a single active consumer: one instance is active, and the others stand by. A failed event
        /// blocks its key until it is handled or becomes a dead letter. See ``SubscriptionOptions/maximumHold``.
        case byPartitionKey
    }

    /// The time at which events that a handler publishes are sent.
    ///
    /// ```swift
    /// let options = SubscriptionOptions(publishing: .whenHandled)
    /// ```
    public enum Publishing: Hashable, Sendable {
        /// Each event is sent when it is published.
        case immediately
        /// Events are held until the handler has returned, and discarded if it throws.
        case whenHandled
    }

    /// The maximum number of deliveries that one instance handles concurrently. Defaults to 16.
    public var concurrency: Int
    /// The maximum number of prefetched deliveries, which the broker hands over before the first of them is settled, or
    /// `nil` for a number that suits most subscriptions: the concurrency, or by key sixteen times the concurrency and
    /// at least 256. Defaults to `nil`.
    ///
    /// It is at least the concurrency, and at most 65,535. Each prefetched delivery takes memory, and other instances
    /// cannot receive it. There are two reasons to prefetch more deliveries than there are handlers:
    ///
    /// - By key, events that wait behind a failed one are prefetched without being handled. Other keys proceed as long
    ///   as fewer than `prefetch` events wait.
    /// - Over a link with latency, a subscription receives at most `prefetch` events per round trip: 16 over 10 ms are
    ///   1,600 events per second, and 256 are 25,600.
    public var prefetch: Int?
    /// The maximum age, counted from its arrival, up to which a by-key or broadcast subscription holds a failed
    /// delivery for its next attempt. Defaults to 15 minutes.
    ///
    /// A broker closes the channel of a consumer that leaves a delivery unsettled for its consumer timeout, 30 minutes
    /// by default. If that timeout is lower, set this value to half of it. At four fifths of it, the subscription is refused. If the longest possible delay after an
    /// attempt would end later than this, the attempt is the last one (``EventContext/isLastAttempt``), and the reason
    /// of the dead letter is ``Failure/Reason/holdLimit``. An event may wait behind others for so long that too little
    /// of this time is left for its own retries. It is then first returned to the broker, with all other prefetched
    /// events and in order, and starts with its full time. Earlier attempts still count. During a pause, and after a long
    /// attempt, events are returned for the same reason.
    public var maximumHold: Duration
    /// The policy for retries after a failure. Defaults to ``RetryPolicy/default``.
    public var retry: RetryPolicy
    /// The closure that decides about a failed event by its error, or `nil` if the kind of the error and ``retry`` decide.
    /// Defaults to `nil`.
    ///
    /// It is called after each failed attempt, also for errors that the bus itself would treat otherwise, such as
    /// ``NonRetryable`` ones and outages. See ``RetryVerdict`` for an example.
    public var retryVerdict: (@Sendable (any Error) -> RetryVerdict)?
    /// The conditions under which the subscription pauses because too many attempts fail, or `nil` for none. Defaults to
    /// `nil`.
    public var breaker: CircuitBreaker?
    /// The maximum duration of a handler, after which it is cancelled as described in ``TimeoutMiddleware``, or `nil`
    /// for none of its own. Defaults to 5 minutes.
    ///
    /// The limit is below the broker's consumer timeout (``Transport/consumerTimeout``). It takes effect soon after it has
    /// passed, not at that very instant.
    ///
    /// With `nil`, a handler may take as long as the broker waits: it is cancelled when nine tenths of the consumer timeout
    /// have passed since the delivery arrived, which are 27 minutes by default. The attempt has failed then. Otherwise the
    /// broker would deliver the event again while it is handled. For longer handlers, raise the timeout of the broker and
    /// tell the transport (`consumerTimeout`). Only over a transport without a consumer timeout, `nil` is no limit, and a
    /// handler that never returns holds up whatever waits for running handlers.
    public var handlerTimeout: Duration?
    /// The order in which deliveries are handled. Defaults to ``Ordering/none``.
    public var ordering: Ordering
    /// A Boolean value indicating whether every instance gets every event, instead of one instance of the group. Events
    /// that arrive while an instance is not connected are not kept for it, and failures are retried only in the
    /// process. Defaults to `false`.
    public var broadcast: Bool
    /// A Boolean value indicating whether events that the handler publishes get an identity derived from the handled
    /// event. Defaults to `true`.
    ///
    /// The identity depends on the handled event, the subscription, and the topic, version, partition key, payload,
    /// headers, delay and expiration of the published event. A further attempt that publishes the same events therefore
    /// gives them the same identities, so that an ``inbox`` of their subscribers suppresses the duplicates. Events that
    /// differ have different identities, and so do several equal events of one attempt. An event that is published again
    /// after `publish` has thrown keeps its identity. Identities of a broadcast's events are never derived, because all
    /// its instances handle the same event, and neither are those of an event of another system that has no id
    /// (``EventIdentity/own``), because an equal event would derive the same ones. Name what identifies such events with
    /// ``identity``. ``PublishOptions/id`` takes precedence.
    ///
    /// Equal events are told apart by the order in which the attempt publishes them, on all buses together. If equal events
    /// are published to several buses concurrently, another attempt may exchange their identities, so that none of them is
    /// recognized as a duplicate. Publish them one after another, or give them ids of your own.
    ///
    /// Events that contain the current time or random values differ at every attempt, and so do those with a delay that
    /// is computed from the current time. Give them an id of your own, such as one made from ``EventContext/id``.
    public var derivesEventIDs = true
    /// The time at which events that the handler publishes are sent. Defaults to ``Publishing/immediately``.
    ///
    /// With ``Publishing/whenHandled``, `publish` only holds an event and returns the outcome ``PublishOutcome/held``.
    /// After the handler has returned, the bus sends the held events in order, and only then records the handled event in
    /// the ``inbox`` and acknowledges it. If the handler throws, the bus discards them. If one of them cannot be sent, the
    /// attempt fails, and the next attempt publishes all of them again, with the same derived identities
    /// (``derivesEventIDs``).
    ///
    /// A task that outlives its handler publishes immediately. If the handler has failed, its publishes throw
    /// `CancellationError` instead, because the next attempt publishes. Middleware publishes immediately.
    ///
    /// The option applies to events that the handler and its tasks publish on the handler's own bus. Requests and events of
    /// ``EventBus/EventBus/local`` are sent immediately. A responder's events are sent before its reply. Deadlines and delays
    /// start when the event is sent. Held events take memory until then.
    public var publishing: Publishing
    /// The store of handled events, which prevents a duplicate from running the handler again, or `nil` for none.
    /// Defaults to `nil`.
    ///
    /// While the inbox is unusable the subscription pauses: its deliveries stay unacknowledged, one at a time probes
    /// the inbox, and no attempt counts. An event for which the inbox fails, although it works for others, is deferred
    /// (``maximumDeferral``). A broadcast subscription cannot have an inbox, because its instances would
    /// share the records.
    public var inbox: (any Inbox)?
    /// The part of an event that identifies it. Defaults to ``EventIdentity/own``, the event's own id.
    ///
    /// ```swift
    /// let options = SubscriptionOptions(inbox: inbox, identity: .header("order-id"))
    /// ```
    public var identity: EventIdentity
    /// The settings of ``inbox``. Each has a default.
    public var inboxOptions: InboxOptions
    /// The maximum time for which an event may be deferred without an attempt before it becomes a dead letter. Defaults
    /// to 1 hour.
    ///
    /// Five kinds of events are deferred: those of a newer ``Event/version`` than this instance supports, until a newer
    /// instance handles them (``Failure/Reason/newerVersion``), those whose handler threw an ``EventBusError`` because a
    /// store or broker is unreachable (``EventBusError/Code/isOutage``, ``Failure/Reason/unavailable``), or whose
    /// ``PayloadStep`` or ``ClaimCheck`` found its store unreachable, those whose handler threw a ``RetryLater`` that does not count as an attempt (``Failure/Reason/postponed``), those for
    /// which the ``inbox`` fails, although it works for others (``Failure/Reason/inboxFailed``), and those that another
    /// consumer has claimed in the inbox (``Failure/Reason/inProgress``). The last ones may be deferred for at least
    /// ``handlerTimeout`` and four leases (``InboxOptions/lease``). The time starts with the first deferral, and again
    /// after each attempt.
    ///
    /// A by-key subscription keeps counting when it returns events to the broker because of ``maximumHold``. If another
    /// instance takes over, the time starts again. An event of a broadcast subscription is deferred for no longer than
    /// ``maximumHold``. A pause of the whole subscription (``inbox``) has no limit, and none of its events becomes a dead
    /// letter.
    public var maximumDeferral: Duration
    /// The patterns of an earlier release of this subscription, such as `["order.*"]`, which are unbound from its queue.
    /// Defaults to none.
    public var formerPatterns: [TopicPattern]
    /// Additional content types that the bus's codec reads, such as `text/plain` if another system publishes JSON under
    /// it, or `*` for every type. A JSON codec always reads `application/json`, `text/json` and types that end in
    /// `+json`. Defaults to none.
    public var acceptedContentTypes: Set<String>
    /// A Boolean value indicating whether a responder's error text is sent to the requester. If it is `false`, the
    /// requester only learns that the responder failed, and the text, which may contain internals, stays in the
    /// responder's log. Defaults to `false`.
    public var repliesWithErrorText: Bool
    /// The middleware of this subscription's deliveries, inside the bus's own middleware. Defaults to none.
    public var middleware: [any ConsumeMiddleware]
    /// The observers of the outcomes of this subscription's deliveries, in addition to those of the bus. Defaults to
    /// none.
    public var observers: [any DeliveryObserver]

    /// Creates options. Omitted values use the defaults.
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
        observers: [any DeliveryObserver] = [],
        maximumHold: Duration = .seconds(900),
        retryVerdict: (@Sendable (any Error) -> RetryVerdict)? = nil,
        publishing: Publishing = .immediately,
        breaker: CircuitBreaker? = nil,
        identity: EventIdentity = .own
    ) {
        self.concurrency = concurrency
        self.prefetch = prefetch
        self.maximumHold = maximumHold
        self.retry = retry
        self.retryVerdict = retryVerdict
        self.publishing = publishing
        self.breaker = breaker
        self.identity = identity
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
        self.observers = observers
    }
}

extension SubscriptionOptions {
    /// The time limit of the handlers, apart from the broker's. One in the far future counts as none.
    var ownHandlerTimeout: Duration? { handlerTimeout.flatMap { $0 < .longest ? $0 : nil } }

    /// The number of inboxes that are consulted for each delivery.
    var inboxCount: Int { (inbox == nil ? 0 : 1) + middleware.count { $0 is DeduplicationMiddleware } }

    /// A Boolean value indicating whether an inbox is consulted for each delivery.
    var usesInbox: Bool { inboxCount > 0 }

    /// A Boolean value indicating whether failed deliveries are held and retried in the process.
    var holdsRetries: Bool { ordering == .byPartitionKey || broadcast }

    /// The prefetch that is requested from the broker.
    var effectivePrefetch: Int {
        if let prefetch { return prefetch }
        guard ordering == .byPartitionKey else { return concurrency }
        return min(max(256, concurrency.multipliedReportingOverflow(by: 16).partialValue), Int(UInt16.max))
    }

    /// Returns the maximum age of a delivery at which it may wait for another attempt. It is later than the end of the
    /// longest hold, and well before the consumer timeout.
    static func maximumAge(holding maximumHold: Duration) -> Duration {
        let hold = maximumHold.clampedToLongest
        return hold + hold / 4
    }

    /// The options of the subscription's queue of deliveries.
    var queueOptions: DeliveryQueue.Options {
        let byKey = ordering == .byPartitionKey
        var options = DeliveryQueue.Options()
        options.byKey = byKey
        options.workers = min(max(1, concurrency), Int(UInt16.max))
        // No other consumer takes over from the handler of a broadcast.
        options.cancelsRevoked = !broadcast
        options.tooOld =
            if broadcast { .returnsAll } else if byKey { .reopensChannel } else { .returns }
        options.maximumWait = maximumWait
        options.maximumAge = Self.maximumAge(holding: maximumHold)
        options.watchesAge =
            holdsRetries || effectivePrefetch > concurrency || usesInbox || breaker != nil || ownHandlerTimeout == nil
        return options
    }

    /// The maximum time for which a delivery may wait for its first attempt. It leaves enough of ``maximumHold`` for
    /// the retries, or half of it if they could take longer. It is at least a second, because a delivery that is too old
    /// on arrival would be returned endlessly.
    private var maximumWait: Duration { max(.seconds(1), holdWithoutRetries) }

    private var holdWithoutRetries: Duration {
        guard holdsRetries else { return maximumHold }
        var needed = Duration.zero
        var attempt = 1
        // Bounded, because the number of attempts of a policy has no maximum.
        while attempt < min(retry.maximumAttempts, 1000) {
            needed += retry.bound(afterAttempt: attempt)
            if needed >= maximumHold / 2 { return maximumHold / 2 }
            attempt += 1
        }
        return maximumHold - needed
    }
}
