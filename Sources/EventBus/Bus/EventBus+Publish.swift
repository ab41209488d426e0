extension EventBus {
    /// Publishes an event and returns when the broker has accepted it.
    ///
    /// ```swift
    /// let receipt = try await bus.publish(OrderCreated(orderID: "42"))
    /// ```
    ///
    /// The event is encoded, passes through the publish middleware, and is sent. Then the local listeners receive it
    /// too, unless it has a delay (``PublishOptions/delay``).
    ///
    /// Before `run()`, publishing waits until its deadline. While the bus starts, it waits for the subscriptions to be
    /// attached, but only for a few seconds and at most half of its time. Afterwards it waits for the connection alone.
    /// Handlers do not wait. During a shutdown only handlers may publish, until they return or throw. A task that
    /// outlives its handler, and an asynchronous local listener, do not count as handlers.
    ///
    /// - Returns: The outcome of the publish. An event without a subscriber is an outcome, not an error, unless
    ///   ``PublishOptions/requiresSubscriber`` is set.
    /// - Throws: `CancellationError` if the task was cancelled before anything was sent; errors of the codec or of
    ///   publish middleware; otherwise ``EventBusError`` with one of these codes.
    ///
    ///   The broker does not have the event:
    ///   - `.encodingFailed`: The codec could not encode the event.
    ///   - `.invalidTopic`: A value of a ``RoutedEvent`` cannot be a word of its topic.
    ///   - `.invalidEnvelope`: An id, a key or a header cannot be sent.
    ///   - `.tooLarge`: The event exceeds a limit of the transport.
    ///   - `.unsupported`: The transport does not support the options, such as a delay beyond its
    ///     limit, or a delay with an expiration.
    ///   - `.timedOut`: The deadline passed before the event was sent, for example because `run()` was not called or
    ///     too many events waited before it.
    ///   - `.blocked`: The broker accepted no events until the deadline.
    ///   - `.accessRefused`, `.notFound`: The user may not publish, or the exchange does not exist.
    ///   - `.unroutable`: No subscription matches, and ``PublishOptions/requiresSubscriber`` is set.
    ///   - `.shuttingDown`: The bus is shutting down or has ended.
    ///   - `.unavailable`: The transport cannot work at all, there was no connection until the deadline, or the store of a
    ///     ``ClaimCheck`` did not take the body.
    ///
    ///   Some subscriptions may receive the event. Publish it again with the same ``PublishOptions/id``, so that an
    ///   ``Inbox`` can suppress the duplicate:
    ///   - `.rejected`: The broker refused the event. If one of several matching queues refused it, the others keep
    ///     their copies.
    ///   - `.indeterminate`: The event was sent, but its outcome is unknown, because the connection was lost or the
    ///     task was cancelled before the broker answered.
    @discardableResult
    public func publish<E: Event>(_ event: E, options: PublishOptions = .init()) async throws -> PublishReceipt {
        let (envelope, derived) = try identifiedEnvelope(for: event, options: options)
        do {
            if mayHoldPublishes, let receipt = try hold(envelope, options: options, emit: { $0.emit(event) }) {
                return receipt
            }
            let receipt = try await publish(envelope, options: options)
            if receipt.outcome.isImmediate { local.emit(event) }
            return receipt
        } catch {
            release(derived)
            throw error
        }
    }

    /// Publishes events of one type in order. The transport's window limits the number in flight.
    ///
    /// ```swift
    /// let results = try await bus.publish(contentsOf: orders)
    /// for (order, result) in zip(orders, results) {
    ///     if case .failure(let error) = result { logger.warning("\(order.orderID) was not published: \(error)") }
    /// }
    /// ```
    ///
    /// The call also returns if some or all events were not published. Check each result, for example with `for result
    /// in results { _ = try result.get() }`.
    ///
    /// The options apply to each event. An `id` among them is used only if there is a single event.
    ///
    /// - Returns: One result for each event, in order: its receipt, or an error with one of the codes of
    ///   ``publish(_:options:)-(E,_)``.
    /// - Throws: Errors that prevent all events from being published: `.shuttingDown`, `.timedOut`,
    ///   `CancellationError`.
    public func publish<E: Event>(
        contentsOf events: some Sequence<E> & Sendable,
        options: PublishOptions = .init()
    ) async throws -> [Result<PublishReceipt, any Error>] {
        let events = Array(events)
        var options = options
        if events.count > 1 { options.id = nil }
        let deadline = deadline(of: options)
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }

        var results = [Result<PublishReceipt, any Error>?](repeating: nil, count: events.count)
        var envelopes: [Envelope] = []
        var positions: [Int] = []
        var derived: [Int: DerivedEventID] = [:]
        envelopes.reserveCapacity(events.count)
        positions.reserveCapacity(events.count)
        for (index, event) in events.enumerated() {
            do {
                let (envelope, id) = try identifiedEnvelope(for: event, options: options)
                envelopes.append(envelope)
                positions.append(index)
                if let id { derived[index] = id }
            } catch {
                results[index] = .failure(error)
            }
        }
        func emission(_ index: Int) -> HeldPublish.Emission {
            let event = events[positions[index]]
            return { local in local.emit(event) }
        }
        let published: [Result<PublishReceipt, any Error>]
        if let held = hold(envelopes, options: options, emission: emission) {
            published = held
        } else {
            published = await send(envelopes, options: options, deadline: deadline)
        }
        for (index, result) in zip(positions, published) {
            results[index] = result
            switch result {
            case .success(let receipt): if receipt.outcome.isImmediate { local.emit(events[index]) }
            case .failure: release(derived[index])
            }
        }
        return results.compactMap(\.self)
    }

    /// Publishes already encoded events in order. The transport's window limits the number in flight.
    ///
    /// The call works like ``publish(_:options:)-(EventBus.Envelope,_)`` for each of them. The options that create an envelope
    /// (identity, headers, key, correlation) have no effect.
    ///
    /// - Returns: One result for each envelope, in order: its receipt, or an error.
    /// - Throws: Errors that prevent all events from being published: `.shuttingDown`, `.timedOut`,
    ///   `CancellationError`.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: PublishOptions = .init()
    ) async throws -> [Result<PublishReceipt, any Error>] {
        let deadline = deadline(of: options)
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        if let held = hold(envelopes, options: options) { return held }
        return await send(envelopes, options: options, deadline: deadline)
    }

    /// Sends envelopes of an admitted publish through the middleware to the transport.
    private func send(
        _ envelopes: [Envelope],
        options: PublishOptions,
        deadline: AnyClock.Instant
    ) async -> [Result<PublishReceipt, any Error>] {
        let published = await publishChain.publish(
            contentsOf: envelopes,
            options: TransportPublishOptions(options, deadline: deadline)
        )
        guard options.requiresSubscriber else { return published }
        return zip(envelopes, published).map { envelope, result in
            result.flatMap { receipt in
                Result { try Self.check(receipt, options: options, topic: envelope.topic) }
            }
        }
    }

    /// Publishes an already encoded event, such as a stored one. Its identity, headers and payload are sent unchanged.
    /// Local listeners do not see it.
    ///
    /// - Throws: The errors of ``publish(_:options:)-(E,_)``.
    @discardableResult
    public func publish(_ envelope: Envelope, options: PublishOptions = .init()) async throws -> PublishReceipt {
        if mayHoldPublishes, let receipt = try hold(envelope, options: options) { return receipt }
        let deadline = deadline(of: options)
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        let event = OutgoingEvent(
            envelope: envelope,
            options: TransportPublishOptions(options, deadline: deadline),
            transportName: transport.name
        )
        return try Self.check(await publishChain.publish(event), options: options, topic: envelope.topic)
    }

    /// Returns the encoded envelope, with identity and correlation, in which `event` would be published now.
    ///
    /// ```swift
    /// let envelope = try bus.envelope(for: OrderCreated(orderID: "42"))
    /// try await store(envelope)              // Published later, with the identity and correlation of now.
    /// ```
    ///
    /// Use it to store an event and publish it later. Inside a handler it counts as a publish of the event, so that an
    /// equal event that is published afterwards has another identity.
    ///
    /// - Throws: ``EventBusError`` with code `.encodingFailed`, or `.invalidTopic` for a ``RoutedEvent`` with a value that
    ///   cannot be a word; errors of a ``PayloadStep``.
    public func envelope<E: Event>(for event: E, options: PublishOptions = .init()) throws -> Envelope {
        try identifiedEnvelope(for: event, options: options).envelope
    }

    /// Returns an envelope like ``envelope(for:options:)``, and a closure to call if it is not stored after all, so that the
    /// next equal event has its identity.
    package func revocableEnvelope<E: Event>(
        for event: E,
        options: PublishOptions
    ) throws -> (envelope: Envelope, revoke: (@Sendable () -> Void)?) {
        let (envelope, derived) = try identifiedEnvelope(for: event, options: options)
        guard let derived, let current = EventCorrelation.current else { return (envelope, nil) }
        return (envelope, { current.release(derived) })
    }

    /// Returns the envelope of an event, and its identity if that is derived. Pass the latter to ``release(_:)`` if the
    /// event is not published.
    private func identifiedEnvelope<E: Event>(
        for event: E,
        options: PublishOptions
    ) throws -> (envelope: Envelope, derived: DerivedEventID?) {
        var envelope = try Envelope(event, options: options, source: configuration.source, codecs: codecs)
        var derived: DerivedEventID?
        if let current = EventCorrelation.current {
            if options.id == nil {
                derived = current.derivedID(of: envelope, options: options)
                if let derived { envelope.id = derived.id }
            }
            if options.correlationID == nil { envelope.correlationID = current.correlationID }
            envelope.causationID = current.causationID
            envelope.inherit(current.traceHeaders)
        }
        // Last, because a derived identity depends on the payload as the codec encodes it.
        do {
            try payloads.encode(&envelope, with: options.payloadSteps)
        } catch {
            release(derived)
            throw error
        }
        return (envelope, derived)
    }

    /// Returns a Boolean value indicating whether the body of an encoded event goes through the store of the claim check,
    /// which may keep it waiting.
    package func storesBody(of envelope: Envelope) -> Bool { publishChain.stores(envelope) }

    private func release(_ derived: DerivedEventID?) {
        if let derived { EventCorrelation.current?.release(derived) }
    }

    private static func check(
        _ receipt: PublishReceipt,
        options: PublishOptions,
        topic: Topic
    ) throws -> PublishReceipt {
        if receipt.outcome == .unroutable && options.requiresSubscriber {
            throw EventBusError(.unroutable, "no subscription matches topic \(topic), and one was required")
        }
        return receipt
    }

    func deadline(of options: PublishOptions) -> AnyClock.Instant {
        clock.now.advanced(by: options.deadline ?? configuration.publishTimeout)
    }

    /// Returns a Boolean value indicating whether a publish may proceed now instead of waiting until the bus runs. If
    /// it is `true`, call ``publishFinished()`` afterwards.
    func admitNow() throws -> Bool {
        try admission(isPatient: true) == .proceed
    }

    /// Waits until the bus accepts a publish. Call ``publishFinished()`` afterwards.
    ///
    /// Before `run()` it waits until the deadline. While the bus starts it waits for the subscriptions to be attached,
    /// because an earlier event would reach nobody. It waits for at most half of the publish's time, and not after the
    /// bus has stopped waiting: a subscription that cannot be attached must not block the others.
    func admit(until deadline: AnyClock.Instant) async throws {
        let now = clock.now
        let half = now.advanced(by: now.duration(to: deadline) / 2)
        var isPatient = true
        while true {
            switch try admission(isPatient: isPatient) {
            case .proceed:
                return
            case .waitForSubscriptions:
                let opened = opened
                isPatient = try await withDeadline(half, clock: clock) { try await opened.wait() } != nil
            case .waitForRun, .refuse:
                guard try await waitForRun(until: deadline) else {
                    throw EventBusError(.timedOut, "the bus was not running before the deadline: call run()")
                }
            }
        }
    }

    /// Waits until the bus begins to run. Nobody advances a manual clock for that, so the wait takes no more real time than
    /// it has on the clock, but at least a few seconds.
    ///
    /// - Returns: `false` if the deadline passes first.
    private func waitForRun(until deadline: AnyClock.Instant) async throws -> Bool {
        let (begun, clock) = (begun, clock)
        let begins: @Sendable () async throws -> Bool = {
            try await withDeadline(deadline, clock: clock) { try await begun.wait() } != nil
        }
        guard clock.isManual else { return try await begins() }
        let real = AnyClock.continuous
        let limit = max(clock.now.duration(to: deadline), Self.manualPatience)
        return try await withDeadline(real.now.advanced(by: limit), clock: real, begins) ?? false
    }

    /// Returns the decision on a publish.
    ///
    /// - Throws: `.shuttingDown` in place of `.refuse`; `CancellationError`.
    private func admission(isPatient: Bool) throws -> BusLifecycle.Admission {
        try Task.checkCancellation()
        let admission = lifecycle.withLock { $0.admitPublish(isPatient: isPatient, fromHandler: isInsideHandler) }
        if admission == .refuse {
            throw EventBusError(
                .shuttingDown,
                "the bus is shutting down or has ended, and takes no more events from outside its handlers"
            )
        }
        return admission
    }

    func publishFinished() {
        let isLast = lifecycle.withLock { $0.publishFinished() && $0.isFlushing }
        if isLast { publishesDone.raise() }
    }

    /// A Boolean value indicating whether the task belongs to a running handler of this bus.
    private var isInsideHandler: Bool {
        guard let current = EventCorrelation.current, current.bus == ObjectIdentifier(self) else { return false }
        return current.isHandlerRunning
    }
}

extension TransportPublishOptions {
    fileprivate init(_ options: PublishOptions, deadline: AnyClock.Instant) {
        self.init(
            deadline: deadline,
            delay: options.delay,
            expiration: options.expiration,
            priority: options.priority
        )
    }
}
