extension EventBus {
    /// Publishes an event that the broker holds for `delay` before subscribers receive it.
    ///
    /// ```swift
    /// try await bus.publish(OrderCreated(orderID: "42"), delay: .seconds(60))
    /// ```
    ///
    /// It works like ``publish(_:options:)-(E,_)`` with the option ``PublishOptions/delay``.
    @discardableResult
    public func publish<E: Event>(_ event: E, delay: Duration) async throws -> PublishReceipt {
        try await publish(event, options: PublishOptions(delay: delay))
    }

    /// Subscribes a handler that needs no context to events of one type, for one group.
    ///
    /// ```swift
    /// bus.subscribe(to: OrderCreated.self, group: "inventory", concurrency: 4) { order in
    ///     print("reserving stock for \(order.orderID)")
    /// }
    /// ```
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
        handler: @escaping @Sendable (_ event: E) async throws -> Void
    ) -> Subscription {
        subscribe(group: group, name: name, options: options.with(concurrency, retry, ordering)) {
            $0.on(type, matching: pattern, handler: handler)
        }
    }

    /// Subscribes a handler that needs no context to every event whose topic matches a pattern, for one group.
    @discardableResult
    public func subscribe(
        to pattern: TopicPattern,
        group: String,
        name: String? = nil,
        concurrency: Int? = nil,
        retry: RetryPolicy? = nil,
        ordering: SubscriptionOptions.Ordering? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ event: ReceivedEvent) async throws -> Void
    ) -> Subscription {
        subscribe(group: group, name: name, options: options.with(concurrency, retry, ordering)) {
            $0.on(pattern, handler: handler)
        }
    }
}

extension SubscriptionHandlers {
    /// Adds a handler that needs no context for events of one type. If a topic has two handlers, the later one is used.
    public mutating func on<E: Event>(
        _ type: E.Type,
        matching pattern: TopicPattern? = nil,
        handler: @escaping @Sendable (E) async throws -> Void
    ) {
        on(type, matching: pattern) { event, _ in try await handler(event) }
    }

    /// Adds a handler that needs no context for events whose topic matches a pattern and that have no handler by type.
    public mutating func on(
        _ pattern: TopicPattern,
        handler: @escaping @Sendable (ReceivedEvent) async throws -> Void
    ) {
        on(pattern) { event, _ in try await handler(event) }
    }
}

extension SubscriptionOptions {
    /// Returns options with these values instead of their own, except for those that are `nil`.
    func with(_ concurrency: Int?, _ retry: RetryPolicy?, _ ordering: Ordering?) -> SubscriptionOptions {
        var options = self
        if let concurrency { options.concurrency = concurrency }
        if let retry { options.retry = retry }
        if let ordering { options.ordering = ordering }
        return options
    }
}
