extension EventBus {
    /// Publishes an event: encodes it, passes it through the publish middleware, and returns once the broker holds it.
    ///
    /// Then the event goes to the local listeners too, unless it is to come later (``PublishOptions/delay``). Before the
    /// bus runs, publishing waits for it, until its deadline.
    ///
    /// - Returns: What the broker did. That no one subscribes is an outcome, not an error, unless
    ///   ``PublishOptions/requiresSubscriber`` is set.
    /// - Throws: ``EventBusError`` with one of these codes: `.encodingFailed`, `.invalidEnvelope`, `.tooLarge`,
    ///   `.timedOut`, `.blocked`, `.rejected`, `.unroutable` (nothing was kept by the broker), `.indeterminate` (sent,
    ///   but the outcome is unknown; publish again with the same ``PublishOptions/id``), `.shuttingDown`;
    ///   `CancellationError` when the task was cancelled before anything was sent.
    @discardableResult
    public func publish<E: Event>(_ event: E, options: PublishOptions = .init()) async throws -> PublishReceipt {
        let receipt = try await publish(try envelope(for: event, options: options), options: options)
        if receipt.outcome != .scheduled { local.emit(event) }
        return receipt
    }

    /// Publishes events of one type in order, as many at a time as the transport's window allows.
    ///
    /// The options hold for each event; an `id` among them is used only if there is just one.
    ///
    /// - Returns: One result for each event, in order: its receipt, or why it was not published, with the codes of
    ///   ``publish(_:options:)-(E,_)``.
    /// - Throws: What keeps all of them from being published: `.shuttingDown`, `.timedOut`, `CancellationError`.
    @discardableResult
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
    @discardableResult
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
        try Task.checkCancellation()
        switch lifecycle.withLock({ $0.admitPublish(fromHandler: isInsideHandler) }) {
        case .proceed: return true
        case .wait: return false
        case .refuse: throw EventBusError(.shuttingDown, "the bus is shutting down and takes no more events")
        }
    }

    /// Waits until the bus runs and takes a publish; ``publishFinished()`` has to follow.
    func admit(until deadline: AnyClock.Instant) async throws {
        let started = started
        repeat {
            guard try await withDeadline(deadline, clock: clock, { try await started.wait() }) != nil else {
                throw EventBusError(.timedOut, "the bus was not running before the deadline: call run()")
            }
        } while try !admitNow()
    }

    func publishFinished() {
        let isLast = lifecycle.withLock { $0.publishFinished() && $0.isFlushing }
        if isLast { publishesDone.raise() }
    }

    private var isInsideHandler: Bool { EventCorrelation.current?.bus == ObjectIdentifier(self) }
}
