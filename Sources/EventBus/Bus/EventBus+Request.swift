extension EventBus {
    /// Sends a request and waits for the reply of one responder.
    ///
    /// ```swift
    /// let quote = try await bus.request(GetQuote(sku: "sku-42"), timeout: .seconds(2))
    /// ```
    ///
    /// A request is sent once, answered at most once, and never retried by the bus. Send it again after an error if
    /// necessary. It passes through the publish middleware, which waits for the reply. The options `deadline`, `delay`,
    /// `expiration`, `priority` and `requiresSubscriber` have no effect.
    ///
    /// - Throws: ``EventBusError``: `.unroutable` if the topic has no responder; `.timedOut` if no reply arrived in
    ///   time; `.indeterminate` if the connection was lost after the request was sent, so that a responder may have
    ///   handled it and its reply cannot arrive; `.remoteFailure` if the responder failed, or its reply is not a
    ///   `Reply`; and the errors of ``publish(_:options:)-(E,_)``.
    public func request<E: RequestEvent>(
        _ request: E,
        timeout: Duration,
        options: PublishOptions = .init()
    ) async throws -> E.Reply {
        let deadline = clock.now.advanced(by: timeout)
        var options = options
        // Each call expects a reply of its own.
        if options.id == nil { options.id = EventID() }
        var envelope = try envelope(for: request, options: options)
        let lifetime = Int64(timeout.inNanoseconds / 1_000_000)
        envelope.headers[RequestHeaders.expires] = .int(clock.wallTime.milliseconds &+ lifetime)
        try envelope.validate()
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        let event = OutgoingEvent(
            envelope: envelope,
            options: TransportPublishOptions(deadline: deadline),
            transportName: transport.name
        )
        let reply = try await publishChain.request(event)
        if let message = reply.headers[RequestHeaders.error]?.string {
            let text = message.printable(upToUTF8Length: Failure.maximumMessageLength)
            throw EventBusError(.remoteFailure, "the responder to \(envelope.topic) failed: \(text)")
        }
        do {
            return try codecs.decode(E.Reply.self, from: payloads.decoded(reply) ?? reply)
        } catch {
            throw EventBusError(
                .remoteFailure,
                "the answer to \(envelope.topic) is no \(E.Reply.self)",
                underlying: error
            )
        }
    }

    /// Answers requests of one type as a member of `group`. Each request goes to one member.
    ///
    /// ```swift
    /// bus.respond(to: GetQuote.self, group: "pricing") { request, context in
    ///     GetQuote.Reply(cents: try await prices.cents(of: request.sku))
    /// }
    /// ```
    ///
    /// The result of the handler is the reply. An error of the handler reaches the requester as `.remoteFailure`, with
    /// its text only if ``SubscriptionOptions/repliesWithErrorText`` is set. A request is never retried, but it goes to
    /// another responder if its handler was cancelled because the bus shut down or lost its connection. A request that
    /// was published as an event has no requester: like any event, it is retried and finally dead-lettered.
    /// `broadcast` and `inbox` are not allowed in the options. A request that has waited a minute longer than its
    /// requester is dropped without a reply.
    @discardableResult
    public func respond<E: RequestEvent>(
        to type: E.Type,
        group: String,
        name: String? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ request: E, _ context: EventContext) async throws -> E.Reply
    ) -> Subscription {
        let responder = Responder(
            transport: transport,
            codecs: codecs,
            payloads: payloads,
            source: configuration.source,
            repliesWithErrorText: options.repliesWithErrorText,
            handler: handler
        )
        return subscribe(group: group, name: name, options: options, purpose: .requests) {
            $0.on(type) { request, context in try await responder.respond(to: request, context) }
        }
    }
}
