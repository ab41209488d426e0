public import EventBus
public import Logging

extension EventContext {
    /// Creates the context of an attempt to handle an event, for a test that calls a handler or a middleware directly.
    ///
    /// ```swift
    /// let order = OrderCreated(orderID: "42")
    /// try await reserveStock(for: order, EventContext(handling: order, attempt: 3, isLastAttempt: true))
    /// ```
    ///
    /// No subscription makes the attempt: nothing is retried or acknowledged, and no time limit cancels the handler. To
    /// test cancellation, cancel the task that calls the handler, or call `revoke()`. What a handler publishes belongs
    /// to the event's chain of causes if it is called by `run(_:)`.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - headers: The headers of the event.
    ///   - attempt: The number of the attempt, from 1.
    ///   - isLastAttempt: A Boolean value indicating whether the event becomes a dead letter if the attempt fails.
    ///   - logger: The logger from which that of the context is made. Defaults to swift-log's default.
    public convenience init<E: Event>(
        handling event: E,
        headers: EventHeaders = [:],
        attempt: Int = 1,
        isLastAttempt: Bool = false,
        logger: Logger = Logger(label: "test")
    ) throws {
        self.init(
            handling: try Envelope(of: event, options: .init(headers: headers)),
            attempt: attempt,
            isLastAttempt: isLastAttempt,
            logger: logger
        )
    }

    /// Creates the context of an attempt to handle the event in an envelope, for a test.
    ///
    /// ```swift
    /// let envelope = try Envelope(of: order, options: .init(partitionKey: "7", id: "order-42"))
    /// let context = EventContext(handling: envelope, group: "billing")
    /// ```
    ///
    /// - Parameters:
    ///   - envelope: The event in its wire format.
    ///   - attempt: The number of the attempt, from 1.
    ///   - isLastAttempt: A Boolean value indicating whether the event becomes a dead letter if the attempt fails.
    ///   - group: The group of the subscription. Defaults to `test`.
    ///   - name: The name of the subscription. Defaults to `test`.
    ///   - logger: The logger from which that of the context is made. Defaults to swift-log's default.
    public convenience init(
        handling envelope: Envelope,
        attempt: Int = 1,
        isLastAttempt: Bool = false,
        group: String = "test",
        name: String = "test",
        logger: Logger = Logger(label: "test")
    ) {
        self.init(
            detached: Delivery(
                envelope: envelope,
                attempt: attempt,
                token: Delivery.Token(generation: 1, number: 1)
            ),
            isLastAttempt: isLastAttempt,
            subscription: SubscriptionInfo(group: group, name: name, pattern: envelope.topic.rawValue),
            transport: DetachedTransport(),
            consumer: DetachedConsumer(),
            logger: logger
        )
    }

    /// Revokes the delivery of a context that a test has created, so that ``/EventBus/EventContext/isRevoked`` is `true`,
    /// as after the loss of its connection.
    public func revoke() { revokeDetached() }

    /// Runs a handler with a context that a test has created, as a subscription would: the events that it publishes have
    /// the correlation id of the handled event, its id as causation id, and ids derived from it.
    ///
    /// ```swift
    /// let context = try EventContext(handling: order)
    /// try await context.run { try await confirm(order, $0) }
    /// #expect(recorder.published.allSatisfy { $0.envelope.causationID == context.id })
    /// ```
    public func run<Result>(_ handler: (EventContext) async throws -> Result) async rethrows -> Result {
        try await runDetached(handler)
    }
}

/// A transport without a broker, for contexts that belong to no subscription.
private struct DetachedTransport: Transport {
    let name = "none"
    let clock = AnyClock.continuous

    private var unsupported: EventBusError {
        EventBusError(.unsupported, "a context that a test has created has no broker; use the in-memory broker")
    }

    func run() async throws {}

    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        throw unsupported
    }

    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope { throw unsupported }

    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws { throw unsupported }

    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        throw unsupported
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { unroutableDelays }

    func health() -> [ComponentHealth] { [] }
}

private struct DetachedConsumer: TransportConsumer {
    func settle(_ delivery: Delivery, as disposition: Disposition) async throws {}
    func stop() async {}
    func close() async {}
    func suspend() async {}
    func resume(prefetch: Int) async {}
}
