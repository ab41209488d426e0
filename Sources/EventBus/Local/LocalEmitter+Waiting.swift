extension LocalEmitter {
    /// Emits an event like ``emit(_:)``, and waits until every listener has handled it, including the asynchronous ones.
    ///
    /// ```swift
    /// emitter.on(OrderCreated.self) { order in try await index.add(order) }
    /// try await emitter.emitAndWait(OrderCreated(orderID: "42"))  // throws what the listener threw
    /// ```
    ///
    /// All listeners receive the event, even if one throws.
    ///
    /// - Throws: The first error of a listener, or of one whose mailbox is full. Further ones are reported to the
    ///   emitter's `onError`. ``EventBusError`` with code `.reentrant` if an asynchronous listener would wait for itself,
    ///   directly or through other listeners. A task that an asynchronous listener starts counts as the listener, even if
    ///   the listener does not await it. `CancellationError` if the task is cancelled meanwhile: the listeners continue, and their
    ///   errors are reported.
    public func emitAndWait<E: Event>(_ event: E) async throws {
        let emission = LocalEmission()
        withList(for: E.self) { $0.deliver(event, of: emission) }
        var failures = await emission.wait()[...]
        let first = Task.isCancelled ? nil : failures.popFirst()
        for failure in failures { reporter.report(failure) }
        if let first { throw first.error }
        try Task.checkCancellation()
    }

    /// Waits for the next event of type `type`.
    ///
    /// ```swift
    /// let confirmed = try await bus.local.next(OrderConfirmed.self, within: .seconds(5)) {
    ///     try await bus.publish(OrderCreated(orderID: "42"))
    /// }
    /// ```
    ///
    /// Events that were emitted before the call do not count. Those that `body` causes do, however many they are.
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - limit: The maximum time after `body`. For the emitter of a bus, it is that of the bus's clock.
    ///   - body: A closure that runs before the wait, such as one that causes the event. Defaults to none.
    ///   - isIncluded: A closure that selects the event, on the emitting thread. Defaults to the first one.
    /// - Throws: ``EventBusError``: `.timedOut` if there was no such event in time, `.shuttingDown` if the emitter or its
    ///   bus has ended; errors of `body`; `CancellationError`.
    public func next<E: Event>(
        _ type: E.Type,
        within limit: Duration,
        after body: () async throws -> Void = {},
        where isIncluded: @escaping @Sendable (E) -> Bool = { _ in true }
    ) async throws -> E {
        // Selected by the listener, so that no number of other events fills the sequence.
        let gate = OnceGate()
        let events: AsyncStream<E> = stream(1) { body in
            on(type) { event in if isIncluded(event), gate.pass() { try body(event) } }
        }
        try await body()
        let deadline = clock.now.advanced(by: min(limit, .longest))
        let found = try await withDeadline(deadline, clock: clock) { () -> E in
            for await event in events { return event }
            try Task.checkCancellation()
            throw EventBusError(.shuttingDown, "the emitter has ended, and no event of topic \(E.topic) follows")
        }
        guard let found else {
            try Task.checkCancellation()
            throw EventBusError(.timedOut, "no such event of topic \(E.topic) was emitted within \(limit)")
        }
        return found
    }
}
