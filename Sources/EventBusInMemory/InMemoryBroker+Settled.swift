import EventBus

extension InMemoryBroker {
    /// Waits until nothing is left to do: every queue is empty, no handler and no async local listener runs, no delay is
    /// pending, no publish waits for room, and every outbox relay on a bus of this broker has published what it can. Dead
    /// letters and delayed events without a queue rest and do not count.
    ///
    /// On a manual clock it moves time: whenever only time can bring anything on, it advances to the next delayed retry,
    /// scheduled event, or delivery that waits in its lane. Thirty seconds of backoff cost no real time.
    ///
    /// A running handler or listener is waited for in real time. One that has made no progress for `handlerPatience` is
    /// taken to wait for the manual clock: time advances step by step to whoever sleeps on it, the handler's own sleep and
    /// its timeout included. From then on a handler of the same event is given a tenth of a second, so that twelve attempts
    /// of a handler that hangs cost a few seconds. Give more patience to a test whose handlers really work for longer.
    ///
    /// A queue that holds events and has no consumer never settles.
    ///
    /// - Parameters:
    ///   - limit: How long to wait in real time, whatever the broker's clock; `nil` for no limit. Defaults to 30 seconds.
    ///   - handlerPatience: How long a handler may run in real time without progress before a manual clock is advanced.
    ///     Defaults to 5 seconds; has no meaning on a real clock.
    /// - Throws: ``/EventBus/EventBusError`` with code `.timedOut` after `limit`, which says what it waited for: queues and
    ///   whether they have a consumer, handlers with their events and for how long, listeners and relays;
    ///   `CancellationError` as soon as the task is cancelled.
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

    /// What `settled()` does next.
    private enum Step {
        case settled
        /// Advances the manual clock.
        case advance(to: AnyClock.Instant)
        /// Waits for a change of the broker, one of the signals, or an instant of real time.
        case wait([Signal], until: AnyClock.Instant?)
    }

    /// Looks at the broker and everything beside it, and decides. `changed` is resolved when the broker has changed.
    private func look(for changed: OneShot<Void>, _ wait: inout SettledWait) -> (Step, number: UInt64) {
        let now = clock.now
        // Only when there is something to fire: a step wakes whoever else waits here.
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
                    // It is about to go on.
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
        // What led here is to be seen, by a recorder or a relay, before time moves on or the wait ends.
        if let busy = busySink() { return (.wait([busy] + changes, until: nil), number) }
        guard let due else {
            update { state in _ = state.settledWaiters.removeValue(forKey: number) }
            return (.settled, number)
        }
        return (clock.isManual ? .advance(to: due) : .wait(changes, until: nil), number)
    }

    /// A signal from the first consumer whose handlers or reports are under way. One that waits with a delivery for an
    /// instant of the clock is not asked: its worker may be waiting too, as it does before it records an effect again.
    private func busySink() -> Signal? {
        let ports = look { state in
            // By index: a consumer's state is large, and there may be thousands.
            state.consumers.indices.compactMap { state.consumers[$0].heldCount == 0 ? state.consumers[$0].port : nil }
        }
        // Asked once each: the answer may change from one moment to the next.
        for port in ports {
            if let busy = port.quiescence() { return busy }
        }
        return nil
    }

    /// What keeps the broker from being settled, in words.
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
        for delivery in handled.prefix(5) {
            parts.append(
                "a handler of queue \(delivery.queue.quotedForError) has event \(delivery.event) of topic "
                    + "\(delivery.topic), attempt \(delivery.attempt), \(wait.age(of: delivery))"
            )
        }
        if handled.count > 5 { parts.append("and \(handled.count - 5) more deliveries are with handlers") }
        if delayed > 0 { parts.append("\(delayed) delays are pending") }
        if blocked > 0 { parts.append("\(blocked) publishes wait for room") }
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

/// What one call of `settled()` remembers.
private struct SettledWait: Sendable {
    let realTime = AnyClock.continuous
    let deadline: AnyClock.Instant?
    private let patience: Duration
    /// What was with handlers, and what else was busy, when the patience began.
    private var watched: (tokens: Set<Delivery.Token>, busy: [String])?
    private var watchedSince: AnyClock.Instant
    /// When each delivery was first seen with a handler.
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

    /// When to stop being patient with the handlers of these deliveries and the other busy parts, if nothing changes.
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

    /// Notes that nothing is at work: patience begins again with what is.
    mutating func forgetPatience() {
        watched = nil
    }

    /// Notes that these handlers wait for the clock.
    mutating func losePatience(with handled: [HandledDelivery]) {
        hanging.formUnion(handled.map(\.event))
        watchedSince = realTime.now
    }

    /// For how long a delivery has been with its handler, in words.
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
    /// Waits until it is resolved, one of `signals` is raised, `deadline` has passed, or the task is cancelled.
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
