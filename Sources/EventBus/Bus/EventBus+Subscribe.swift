internal import Synchronization

extension EventBus {
    /// Subscribes a handler to events of one type, for one group.
    ///
    /// ```swift
    /// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
    ///     context.logger.info("reserving stock")
    /// }
    /// ```
    ///
    /// If the handler returns, the event is acknowledged. If it throws, the event is retried according to the retry
    /// policy, and finally becomes a dead letter of the group. Each event goes to one member of each group, at least
    /// once.
    ///
    /// Subscriptions can be added before and while the bus runs. An invalid subscription (such as an invalid name, or a
    /// second subscription of the same name) is logged immediately and reported by ``Subscription/attached()``.
    /// ``run()`` throws it as well if the subscription was made before.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - pattern: The topics of the events, such as `customer.7.*`, or `nil` for all topics of the type. Every event
    ///     that matches is decoded as the type, and becomes a dead letter if it cannot be. Defaults to `nil`.
    ///   - group: The group whose members share the events. It consists of letters, digits, `_` and `-`.
    ///   - name: The subscription's name within the group. Defaults to a name derived from the topic.
    ///   - concurrency: The maximum number of deliveries that are handled concurrently. Defaults to that of `options`.
    ///   - retry: The policy for retries after a failure. Defaults to that of `options`.
    ///   - ordering: The order in which deliveries are handled. Defaults to that of `options`.
    ///   - options: The options of the subscription.
    ///   - handler: The closure that handles an event. It runs on the cooperative thread pool, never on an I/O thread.
    @discardableResult
    public func subscribe<E: Event>(
        to type: E.Type,
        matching pattern: TopicPattern? = nil,
        group: String,
        name: String? = nil,
        concurrency: Int? = nil,
        retry: RetryPolicy? = nil,
        ordering: SubscriptionOptions.Ordering? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ event: E, _ context: EventContext) async throws -> Void
    ) -> Subscription {
        subscribe(group: group, name: name, options: options.with(concurrency, retry, ordering)) {
            $0.on(type, matching: pattern, handler: handler)
        }
    }

    /// Subscribes a handler to every event whose topic matches a pattern, for one group. It works like the subscription
    /// to one type.
    ///
    /// ```swift
    /// bus.subscribe(to: "order.#", group: "audit") { event, context in
    ///     try await journal.append(event.envelope.topic.rawValue, event.envelope.payload)
    /// }
    /// ```
    @discardableResult
    public func subscribe(
        to pattern: TopicPattern,
        group: String,
        name: String? = nil,
        concurrency: Int? = nil,
        retry: RetryPolicy? = nil,
        ordering: SubscriptionOptions.Ordering? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ event: ReceivedEvent, _ context: EventContext) async throws -> Void
    ) -> Subscription {
        subscribe(group: group, name: name, options: options.with(concurrency, retry, ordering)) {
            $0.on(pattern, handler: handler)
        }
    }

    /// Subscribes handlers for several types or patterns. They share one queue and keep the order of events.
    ///
    /// ```swift
    /// bus.subscribe(group: "billing", name: "orders", ordering: .byPartitionKey) { handlers in
    ///     handlers.on(OrderCreated.self) { order, context in try await open(order) }
    ///     handlers.on(OrderCancelled.self) { order, context in try await close(order) }
    /// }
    /// ```
    ///
    /// A subscription to several topics requires a name. A name derived from the topics would change with their order,
    /// and the next release would leave events behind in the queue of the former name.
    ///
    /// - Parameters:
    ///   - group: The group whose members share the events. It consists of letters, digits, `_` and `-`.
    ///   - name: The subscription's name within the group. Defaults to a name derived from the topic, if there is a
    ///     single one.
    ///   - concurrency: The maximum number of deliveries that are handled concurrently. Defaults to that of `options`.
    ///   - retry: The policy for retries after a failure. Defaults to that of `options`.
    ///   - ordering: The order in which deliveries are handled. Defaults to that of `options`.
    ///   - options: The options of the subscription.
    ///   - build: A closure that adds the handlers.
    @discardableResult
    public func subscribe(
        group: String,
        name: String? = nil,
        concurrency: Int? = nil,
        retry: RetryPolicy? = nil,
        ordering: SubscriptionOptions.Ordering? = nil,
        options: SubscriptionOptions = .init(),
        handlers build: (inout SubscriptionHandlers) -> Void
    ) -> Subscription {
        subscribe(
            group: group,
            name: name,
            options: options.with(concurrency, retry, ordering),
            purpose: .events,
            handlers: build
        )
    }

    func subscribe(
        group: String,
        name: String?,
        options: SubscriptionOptions,
        purpose: SubscriptionOptions.Purpose,
        handlers build: (inout SubscriptionHandlers) -> Void
    ) -> Subscription {
        var options = options
        options.middleware = configuration.consumeMiddleware + options.middleware
        options.observers = configuration.deliveryObservers + options.observers
        if options.publishing == .whenHandled { holdsPublishes.store(true, ordering: .relaxed) }
        let codecs = options.acceptedContentTypes.isEmpty ? codecs : codecs.accepting(options.acceptedContentTypes)
        var handlers = SubscriptionHandlers(codecs: codecs)
        build(&handlers)
        // Sorted, so that the label of the metrics does not depend on the order of the handlers.
        let patterns = Set(handlers.patterns).sorted { $0.rawValue.utf8.lexicographicallyPrecedes($1.rawValue.utf8) }
        let pattern = patterns.map(\.rawValue).joined(separator: ",")
        let requiresName = name == nil && patterns.count > 1
        let name = name ?? patterns.first.map(SubscriptionName.derived) ?? ""
        let runner = SubscriptionRunner(
            info: SubscriptionInfo(group: group, name: name, pattern: pattern),
            handlers: handlers,
            options: options,
            environment: SubscriptionEnvironment(
                transport: transport,
                clock: clock,
                payloads: payloads,
                watchdog: watchdog,
                logger: logger,
                shutdownTimeout: configuration.shutdownTimeout,
                cancellationGrace: configuration.cancellationGrace,
                bus: ObjectIdentifier(self)
            )
        )
        if requiresName {
            runner.fail(
                EventBusError(
                    .invalidName,
                    "a subscription of group \(group.quotedForError) to several topics (\(pattern)) has no name: give it "
                        + "one, because a name made of its topics would depend on their order"
                )
            )
        } else if let problem = SubscriptionName.problem(group: group, name: name) {
            runner.fail(EventBusError(.invalidName, problem))
        } else if handlers.patterns.isEmpty {
            runner.fail(EventBusError(.invalidConfiguration, "subscription \(group).\(name) has no handler"))
        } else if let problem = handlers.conversionProblem {
            runner.fail(
                EventBusError(.invalidConfiguration, "subscription \(runner.info.queueName) has \(problem)")
            )
        } else if let error = options.validationError(
            of: runner.info.queueName,
            for: purpose,
            consumerTimeout: transport.consumerTimeout
        ) {
            runner.fail(error)
        } else if let problem = payloads.problem(with: options.identity) {
            runner.fail(
                EventBusError(.invalidConfiguration, "subscription \(runner.info.queueName) has \(problem)")
            )
        }
        registry.add(runner)
        return Subscription(runner: runner) { [registry] in registry.remove(runner) }
    }
}
