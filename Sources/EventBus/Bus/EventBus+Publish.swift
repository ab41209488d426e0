extension EventBus {
    /// Publishes an event: encodes it, passes it through the publish middleware, and returns once the broker holds it.
    ///
    /// Then the event goes to the local listeners too, unless it is to come later (``PublishOptions/delay``).
    ///
    /// Before `run()`, publishing waits until its deadline. While the bus starts, it waits for the subscriptions to be
    /// attached, but only for a few seconds and for at most half of its time; then for the connection alone. Handlers
    /// do not wait. During a shutdown only handlers may publish, until they return or throw: what a task does that
    /// outlives its handler, or an async local listener, counts as outside of it.
    ///
    /// - Returns: What the broker did. That no one subscribes is an outcome, not an error, unless
    ///   ``PublishOptions/requiresSubscriber`` is set.
    /// - Throws: `CancellationError` when the task was cancelled before anything was sent; what the codec, or publish
    ///   middleware, throws on its own account; otherwise ``EventBusError`` with one of these codes.
    ///
    ///   The broker holds nothing:
    ///   - `.encodingFailed`: the codec could not encode the event.
    ///   - `.invalidEnvelope`: an id, a key or a header cannot go over the wire.
    ///   - `.tooLarge`: the event exceeds a limit of the transport.
    ///   - `.unsupported`: the transport cannot do it, such as a delay longer than it can hold.
    ///   - `.timedOut`: the deadline passed before the event was sent, as when `run()` was not called or there was no
    ///     connection.
    ///   - `.blocked`: the broker took no events until the deadline.
    ///   - `.accessRefused`, `.notFound`: the user may not publish, or the exchange is gone.
    ///   - `.unroutable`: no subscription matches, and ``PublishOptions/requiresSubscriber`` is set.
    ///   - `.shuttingDown`: the bus is shutting down or has ended.
    ///   - `.unavailable`: the transport cannot work at all.
    ///
    ///   Some subscriptions may receive the event; publish again with the same ``PublishOptions/id``, so that an
    ///   ``Inbox`` can tell:
    ///   - `.rejected`: the broker refused the event. Where one of several matching queues refused it, the others keep
    ///     their copy.
    ///   - `.indeterminate`: the event was sent, and the outcome is unknown: the connection was lost, or the task was
    ///     cancelled, before the broker answered.
    @discardableResult
    public func publish<E: Event>(_ event: E, options: PublishOptions = .init()) async throws -> PublishReceipt {
        let receipt = try await publish(try envelope(for: event, options: options), options: options)
        if receipt.outcome != .scheduled { local.emit(event) }
        return receipt
    }

    /// Publishes events of one type in order, as many at a time as the transport's window allows.
    ///
    /// The call returns also where some or all events were not published: look at each result, if only by
    /// `for result in results { _ = try result.get() }`.
    ///
    /// The options hold for each event; an `id` among them is used only if there is just one.
    ///
    /// - Returns: One result for each event, in order: its receipt, or why it was not published, with the codes of
    ///   ``publish(_:options:)-(E,_)``.
    /// - Throws: What keeps all of them from being published: `.shuttingDown`, `.timedOut`, `CancellationError`.
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
        envelopes.reserveCapacity(events.count)
        positions.reserveCapacity(events.count)
        for (index, event) in events.enumerated() {
            do {
                envelopes.append(try envelope(for: event, options: options))
                positions.append(index)
            } catch {
                results[index] = .failure(error)
            }
        }
        for (index, result) in zip(positions, await send(envelopes, options: options, deadline: deadline)) {
            results[index] = result
            if case .success(let receipt) = result, receipt.outcome != .scheduled { local.emit(events[index]) }
        }
        return results.compactMap(\.self)
    }

    /// Publishes events that are encoded already, in order, as many at a time as the transport's window allows.
    ///
    /// As ``publish(_:options:)-(Envelope,_)`` for each of them: of the options, those that make an envelope (identity,
    /// headers, key, correlation) have no meaning here.
    ///
    /// - Returns: One result for each envelope, in order: its receipt, or why it was not published.
    /// - Throws: What keeps all of them from being published: `.shuttingDown`, `.timedOut`, `CancellationError`.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: PublishOptions = .init()
    ) async throws -> [Result<PublishReceipt, any Error>] {
        let deadline = deadline(of: options)
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        return await send(envelopes, options: options, deadline: deadline)
    }

    /// Sends envelopes through the middleware to the transport; the publish has been admitted.
    private func send(
        _ envelopes: [Envelope],
        options: PublishOptions,
        deadline: AnyClock.Instant
    ) async -> [Result<PublishReceipt, any Error>] {
        let published = await publishChain.publish(
            contentsOf: envelopes,
            delay: options.delay,
            deadline: deadline
        )
        guard options.requiresSubscriber else { return published }
        return zip(envelopes, published).map { envelope, result in
            result.flatMap { receipt in
                Result { try Self.check(receipt, options: options, topic: envelope.topic) }
            }
        }
    }

    /// Publishes an event that is encoded already, such as one that was stored: its identity, headers and payload go out
    /// as they are. Local listeners do not see it.
    ///
    /// - Throws: As ``publish(_:options:)-(E,_)`` does.
    @discardableResult
    public func publish(_ envelope: Envelope, options: PublishOptions = .init()) async throws -> PublishReceipt {
        let deadline = deadline(of: options)
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        let event = OutgoingEvent(envelope: envelope, delay: options.delay, deadline: deadline)
        return try Self.check(await publishChain.publish(event), options: options, topic: envelope.topic)
    }

    /// The envelope in which `event` would be published from here: encoded, with its identity and its correlation.
    ///
    /// For those who store an event now and publish it later.
    ///
    /// - Throws: ``EventBusError`` with code `.encodingFailed`.
    public func envelope<E: Event>(for event: E, options: PublishOptions = .init()) throws -> Envelope {
        let time = EventTime.now()
        let id = options.id ?? EventID(at: time)
        var envelope = Envelope(
            id: id,
            topic: E.topic,
            payload: try codecs.encode(event),
            contentType: codecs.encoder.contentType,
            version: E.version,
            time: time,
            source: configuration.source,
            correlationID: options.correlationID ?? CorrelationID(id),
            partitionKey: options.partitionKey ?? event.partitionKey,
            headers: options.headers
        )
        if let current = EventCorrelation.current {
            if options.correlationID == nil { envelope.correlationID = current.correlationID }
            envelope.causationID = current.causationID
            for (name, value) in current.traceHeaders where envelope.headers[name] == nil {
                envelope.headers[name] = value
            }
        }
        return envelope
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

    /// Whether a publish may go ahead now, and not only once the bus runs; ``publishFinished()`` has to follow then.
    func admitNow() throws -> Bool {
        try admission(isPatient: true) == .proceed
    }

    /// Waits until the bus takes a publish; ``publishFinished()`` has to follow.
    ///
    /// Before `run()` it waits until the deadline. While the bus starts it waits for the subscriptions to be attached,
    /// because an event that comes before them reaches nobody; but for at most half of the publish's time, and not once
    /// the bus has lost its patience: a subscription that cannot be attached must not keep the others from working.
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
                let begun = begun
                guard try await withDeadline(deadline, clock: clock, { try await begun.wait() }) != nil else {
                    throw EventBusError(.timedOut, "the bus was not running before the deadline: call run()")
                }
            }
        }
    }

    /// Asks whether a publish may go ahead.
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

    /// Whether the task belongs to a handler of this bus that still runs.
    private var isInsideHandler: Bool {
        guard let current = EventCorrelation.current, current.bus == ObjectIdentifier(self) else { return false }
        return current.isHandlerRunning
    }
}
