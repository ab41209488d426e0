extension EventBus {
    /// Subscribes a handler to batches of events of one type, for one group.
    ///
    /// ```swift
    /// bus.subscribe(toBatchesOf: OrderCreated.self, group: "search", maximumCount: 100, within: .milliseconds(50)) { batch in
    ///     print("indexing", batch.map(\.event.orderID))
    /// }
    /// ```
    ///
    /// The handler runs when `maximumCount` events have arrived, or `interval` after the first of them. If it returns,
    /// its events are acknowledged, except for those that it has declared failed (``BatchedEvent/fail(_:)``). If it
    /// throws, all of them have failed. Failed events are retried or become dead letters according to the retry policy,
    /// each by its own attempts. An event that failed once is handled in a batch of its own from then on, so that it
    /// cannot use up the attempts of others.
    ///
    /// Everything else works as for single events: each is checked by the inbox and passes the middleware by itself.
    /// With ``SubscriptionOptions/Ordering/byPartitionKey``, a batch contains at most one event of a key. The time limit of
    /// a handler (``SubscriptionOptions/handlerTimeout``) starts when its batch runs, and
    /// ``SubscriptionOptions/publishing`` cannot be ``SubscriptionOptions/Publishing/whenHandled``.
    ///
    /// A batch that is complete while `concurrency` others are handled waits for one of them. If it is not full, it
    /// collects further events meanwhile. A shutdown, a pause and a change of concurrency do not wait for `interval`: the
    /// batch that is being collected runs at once.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - pattern: The topics of the events, such as `customer.7.*`, or `nil` for all topics of the type. Every event
    ///     that matches is decoded as the type, and becomes a dead letter if it cannot be. Defaults to `nil`.
    ///   - group: The group whose members share the events. It consists of letters, digits, `_` and `-`.
    ///   - name: The subscription's name within the group. Defaults to a name derived from the topic.
    ///   - maximumCount: The maximum number of events of a batch.
    ///   - interval: The maximum time for which the first event of a batch waits for others.
    ///   - concurrency: The maximum number of batches that are handled concurrently, including those of single events that
    ///     have failed before. Defaults to 1. It replaces
    ///     ``SubscriptionOptions/concurrency``, which counts events. So does ``Subscription/changeConcurrency(to:)``: its
    ///     number is also the maximum number of events in a batch, if it is less than `maximumCount`.
    ///   - retry: The policy for retries after a failure. Defaults to that of `options`.
    ///   - ordering: The order in which deliveries are handled. Defaults to that of `options`.
    ///   - options: The options of the subscription. The prefetch is at least `maximumCount` times `concurrency`, which
    ///     is also its default.
    ///   - handler: The closure that handles a batch. It contains at least one event.
    @discardableResult
    public func subscribe<E: Event>(
        toBatchesOf type: E.Type,
        matching pattern: TopicPattern? = nil,
        group: String,
        name: String? = nil,
        maximumCount: Int,
        within interval: Duration,
        concurrency: Int = 1,
        retry: RetryPolicy? = nil,
        ordering: SubscriptionOptions.Ordering? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ batch: [BatchedEvent<E>]) async throws -> Void
    ) -> Subscription {
        let batching = Batching(maximumCount: maximumCount, interval: interval, concurrency: concurrency)
        let collector = BatchCollector(batching, handler: handler)
        return subscribe(
            group: group,
            name: name,
            options: options.with(batching.deliveries, retry, ordering),
            purpose: .batches(batching)
        ) {
            $0.on(type, matching: pattern) { event, context in try await collector.handle(event, context) }
        }
    }
}
