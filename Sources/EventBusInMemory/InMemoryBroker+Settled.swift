import EventBus

extension InMemoryBroker {
    /// Waits until nothing is left to do: every queue is empty, no handler and no asynchronous local listener is
    /// running, no delay is pending, no publish waits for room, no request waits for its reply, and every outbox relay on
    /// a bus of this broker has published what it can. Dead letters and delayed events without a queue do not count.
    ///
    /// ```swift
    /// try await bus.publish(OrderCreated(orderID: "42"))
    /// try await broker.settled()
    /// ```
    ///
    /// On a manual clock it advances the time: whenever only time can make progress, it advances to the next delayed
    /// retry, scheduled event, delivery that waits for its retry, or deadline of a request. Thirty seconds of backoff take no real time.
    ///
    /// It waits for running handlers and listeners in real time. One that has made no progress for `handlerPatience` is
    /// assumed to wait for the manual clock. The time then advances step by step to the next sleeper, which may be the
    /// handler's own sleep or its timeout. From then on, a handler of the same event gets a tenth of a second, so that
    /// twelve attempts of a hanging handler take a few seconds. Pass a longer patience in a test whose handlers really
    /// work for longer.
    ///
    /// The broker never settles while a queue contains events and has no consumer.
    ///
    /// - Parameters:
    ///   - limit: The maximum wait in real time, whatever the broker's clock, or `nil` for no limit. Defaults to
    ///     30 seconds.
    ///   - handlerPatience: The real time that a handler may run without progress before a manual clock is advanced. It
    ///     has no effect on a real clock. Defaults to 5 seconds.
    /// - Throws: ``/EventBus/EventBusError`` with code `.timedOut` after `limit`. The message names what was still
    ///   pending: queues and whether they have a consumer, handlers with their events and durations, listeners and
    ///   relays. `CancellationError` as soon as the task is cancelled.
    public func settled(
        within limit: Duration? = .seconds(30),
        handlerPatience: Duration = .seconds(5)
    ) async throws {
        var wait = SettledWait(patience: handlerPatience, limit: limit)
        while true {
            try Task.checkCancellation()
            let changed = OneShot<Void>()
            let (step, number) = look(for: changed, &wait)
            switch step {
            case .settled:
                return
            case .advance(let instant):
                update { state in _ = state.settledWaiters.removeValue(forKey: number) }
                await clock.advance(to: instant)
            case .wait(let signals, let time):
                let end = [wait.deadline, time].compactMap(\.self).min()
                await changed.wait(or: signals, until: end, on: wait.realTime)
                update { state in _ = state.settledWaiters.removeValue(forKey: number) }
            }
            if let deadline = wait.deadline, wait.realTime.now >= deadline {
                try Task.checkCancellation()
                throw EventBusError(.timedOut, "the broker did not settle: \(unsettledDescription(wait))")
            }
        }
    }

    /// The next step of `settled()`.
    private enum Step {
        case settled
        /// Advance the manual clock.
        case advance(to: AnyClock.Instant)
        /// Wait for a change of the broker, one of the signals, or an instant of real time.
        case wait([Signal], until: AnyClock.Instant?)
    }

    /// Inspects the broker and its surroundings, and decides. `changed` is resolved when the broker has changed.
    private func look(for changed: OneShot<Void>, _ wait: inout SettledWait) -> (Step, number: UInt64) {
        let now = clock.now
        // Only if there is work to fire, because a step wakes all other waiters here.
        if look({ state in state.timers.isDue(by: now) }) {
            step { state, effects in _ = state.fireTimers(by: now, &effects) }
        }
        let (quiescence, number, handled) = update { state in
            let number = state.makeNumber()
            state.settledWaiters[number] = changed
            return (state.quiescence(at: now), number, state.handledDeliveries(at: now))
        }
        var due: AnyClock.Instant?
        var signals: [Signal] = []
        var changes: [Signal] = []
        var busy: [String] = []
        for reporter in activityMonitor.reporters {
            switch reporter.activity() {
            case .idle:
                break
            case .busy(let description, let change):
                signals.append(change)
                busy.append(description)
            case .waiting(let description, let instant, let change):
                guard instant > now else {
                    // It is about to continue.
                    signals.append(change)
                    busy.append(description)
                    continue
                }
                changes.append(change)
                due = due.map { min($0, instant) } ?? instant
            }
        }
        var isStuck = false
        if case .busy = quiescence { isStuck = true }
        if !signals.isEmpty || isStuck {
            let everything = signals + changes
            // Events without a consumer wait for one, whatever the time.
            guard clock.isManual, !signals.isEmpty || !handled.isEmpty else {
                return (.wait(everything, until: nil), number)
            }
            let patienceEnd = wait.patienceEnd(for: handled, busy: busy)
            guard wait.realTime.now >= patienceEnd else { return (.wait(everything, until: patienceEnd), number) }
            wait.losePatience(with: handled)
            guard let sleeper = [clock.nextSleeper, due].compactMap(\.self).min(), sleeper > now else {
                return (.wait(everything, until: wait.patienceEnd(for: handled, busy: busy)), number)
            }
            return (.advance(to: sleeper), number)
        }
        wait.forgetPatience()
        switch quiescence {
        case .busy:
            break
        case .idle(let instant):
            due = due.map { min($0, instant) } ?? instant
        case .settled:
            break
        }
        // Recorders and relays must see what has happened before time advances or the wait ends.
        if let busy = busySink() { return (.wait([busy] + changes, until: nil), number) }
        guard let due else {
            update { state in _ = state.settledWaiters.removeValue(forKey: number) }
            return (.settled, number)
        }
        return (clock.isManual ? .advance(to: due) : .wait(changes, until: nil), number)
    }

    /// Returns a signal from the first consumer whose handlers or reports are running. A consumer whose delivery waits
    /// for an instant of the clock is skipped, because its worker may be waiting too, as it does before it records an
    /// effect again.
    private func busySink() -> Signal? {
        let ports = look { state in
            // By index, because a consumer's state is large and there may be thousands.
            state.consumers.indices.compactMap { state.consumers[$0].heldCount == 0 ? state.consumers[$0].port : nil }
        }
        // Each is asked once, because the answer may change at any moment.
        for port in ports {
            if let busy = port.quiescence() { return busy }
        }
        return nil
    }

    /// Returns a description of everything that keeps the broker from being settled.
    private func unsettledDescription(_ wait: SettledWait) -> String {
        var parts = queues.filter { $0.ready + $0.unsettled + $0.delayed > 0 }.map { queue in
            "queue \(queue.name.quotedForError) has \(queue.ready) ready, \(queue.unsettled) unsettled, "
                + "\(queue.delayed) delayed"
                + (queue.consumers == 0 ? " and no consumer" : " and \(queue.consumers) consumers")
        }
        let now = clock.now
        let (delayed, blocked, handled) = look { state in
            (state.timers.count, state.blockedPublishes.count, state.handledDeliveries(at: now))
        }
        let (requests, paused) = look { state in
            let paused = state.consumers.filter { $0.pausedUntil != nil }.map(\.specification.queueName)
            return (state.pendingRequests.values.map(\.topic.description), paused)
        }
        for queue in paused { parts.append("the subscription of queue \(queue.quotedForError) is paused") }
        for delivery in handled.prefix(5) {
            parts.append(
                "a handler of queue \(delivery.queue.quotedForError) has event \(delivery.event) of topic "
                    + "\(delivery.topic), attempt \(delivery.attempt), \(wait.age(of: delivery))"
            )
        }
        if handled.count > 5 { parts.append("and \(handled.count - 5) more deliveries are with handlers") }
        if delayed > 0 { parts.append("\(delayed) delays are pending") }
        if blocked > 0 { parts.append("\(blocked) publishes wait for room") }
        if !requests.isEmpty {
            parts.append("\(requests.count) requests wait for a reply: \(requests.prefix(5).joined(separator: ", "))")
        }
        for reporter in activityMonitor.reporters {
            switch reporter.activity() {
            case .idle: break
            case .busy(let description, _): parts.append(description)
            case .waiting(let description, let due, _): parts.append("\(description) in \(now.duration(to: due))")
            }
        }
        if busySink() != nil, handled.isEmpty { parts.append("the outcome of a handler is still being reported") }
        if let log = faultLog { parts.append("the faults have seed \(log.plan.seed)") }
        return parts.isEmpty ? "it was busy until the limit and is settled now" : parts.joined(separator: "; ")
    }
}

/// The state of one call of `settled()`.
private struct SettledWait: Sendable {
    let realTime = AnyClock.continuous
    let deadline: AnyClock.Instant?
    private let patience: Duration
    /// The handled deliveries and other busy parts at the time when the patience began.
    private var watched: (tokens: Set<Delivery.Token>, busy: [String])?
    private var watchedSince: AnyClock.Instant
    /// The time when each delivery was first seen with a handler.
    private var seenSince: [Delivery.Token: AnyClock.Instant] = [:]
    /// The events whose handlers were found to wait for the manual clock.
    private var hanging: Set<EventID> = []

    /// The patience with a handler whose event has hung before.
    private static let shortPatience: Duration = .milliseconds(100)

    init(patience: Duration, limit: Duration?) {
        self.patience = max(.zero, patience)
        self.watchedSince = realTime.now
        self.deadline = limit.map { [realTime] in realTime.now.advanced(by: min($0, .longest)) }
    }

    /// Returns the end of the patience with the handlers of these deliveries and the other busy parts, if nothing
    /// changes.
    mutating func patienceEnd(for handled: [HandledDelivery], busy: [String]) -> AnyClock.Instant {
        let now = realTime.now
        let tokens = Set(handled.map(\.token))
        seenSince = seenSince.filter { tokens.contains($0.key) }
        for token in tokens where seenSince[token] == nil { seenSince[token] = now }
        if tokens != watched?.tokens || busy != watched?.busy {
            watched = (tokens, busy)
            watchedSince = now
        }
        let isKnown = busy.isEmpty && handled.allSatisfy { hanging.contains($0.event) }
        return watchedSince.advanced(by: isKnown ? min(patience, Self.shortPatience) : patience)
    }

    /// Records that nothing is running, so that the patience starts again.
    mutating func forgetPatience() {
        watched = nil
    }

    /// Records that these handlers wait for the clock.
    mutating func losePatience(with handled: [HandledDelivery]) {
        hanging.formUnion(handled.map(\.event))
        watchedSince = realTime.now
    }

    /// Returns how long a delivery has been with its handler, as text.
    func age(of delivery: HandledDelivery) -> String {
        var parts: [String] = []
        if let age = delivery.age { parts.append("for \(age) of the broker's time") }
        if let seen = seenSince[delivery.token] {
            parts.append("seen for \(seen.duration(to: realTime.now)) of real time")
        }
        return parts.isEmpty ? "unsettled" : parts.joined(separator: ", ")
    }
}

extension OneShot<Void> {
    /// Waits until the value is resolved, a signal is raised, `deadline` has passed, or the task is cancelled.
    fileprivate func wait(or signals: [Signal], until deadline: AnyClock.Instant?, on clock: AnyClock) async {
        await withTaskGroup(of: Void.self) { group in
            for signal in signals {
                group.addTask { if (try? await signal.wait()) != nil { self.resolve(()) } }
            }
            if let deadline {
                group.addTask { if (try? await clock.sleep(until: deadline)) != nil { self.resolve(()) } }
            }
            await self.wait(onCancel: { self.resolve(()) })
            group.cancelAll()
        }
    }
}
