import EventBus

extension InMemoryBroker {
    /// Waits until nothing is left to do: every queue is empty, no handler runs, no delay is pending, and no
    /// publish waits for room. Dead letters rest and do not count.
    ///
    /// On a manual clock it moves time: whenever only time can bring anything on, it advances to the next delayed
    /// retry, scheduled event, or delivery that waits in its lane. Thirty seconds of backoff cost no real time.
    ///
    /// A queue that holds events and has no consumer never settles. Neither does one whose handler never returns.
    ///
    /// - Parameter limit: How long to wait in real time, whatever the broker's clock; `nil` for ever.
    /// - Throws: ``/EventBus/EventBusError`` with code `.timedOut` after `limit`, which names what is not settled;
    ///   `CancellationError` as soon as the task is cancelled.
    public func settled(within limit: Duration? = .seconds(30)) async throws {
        let realTime = AnyClock.continuous
        let deadline = limit.map { realTime.now.advanced(by: $0) }
        while true {
            try Task.checkCancellation()
            let changed = OneShot<Void>()
            let now = clock.now
            // Only when there is something to fire: a step wakes whoever else waits here.
            if look({ state in state.timers.isDue(by: now) }) {
                step { state, effects in _ = state.fireTimers(by: now, &effects) }
            }
            let (quiescence, number) = update { state in
                let quiescence = state.quiescence(at: now)
                let number = state.makeNumber()
                switch quiescence {
                case .settled: break
                case .idle where clock.isManual: break
                default: state.settledWaiters[number] = changed
                }
                return (quiescence, number)
            }
            switch quiescence {
            case .settled:
                if try await waitForReports(until: deadline, on: realTime) { continue }
                return
            case .idle(let instant) where clock.isManual:
                // What led here is to be seen before time moves on.
                if try await waitForReports(until: deadline, on: realTime) { continue }
                await clock.advance(to: instant)
                continue
            default:
                break
            }
            if let deadline {
                await changed.wait(
                    until: deadline,
                    on: realTime,
                    atDeadline: { changed.resolve(()) },
                    onCancel: { changed.resolve(()) }
                )
            } else {
                await changed.wait(onCancel: { changed.resolve(()) })
            }
            update { state in _ = state.settledWaiters.removeValue(forKey: number) }
            if let deadline, realTime.now >= deadline {
                try Task.checkCancellation()
                throw EventBusError(.timedOut, "the broker did not settle: \(unsettledDescription)")
            }
        }
    }

    /// Waits if a handler's outcome is still on its way to those who watch, such as a recorder.
    ///
    /// - Returns: Whether it had to wait: then more may have happened.
    private func waitForReports(until deadline: AnyClock.Instant?, on realTime: AnyClock) async throws -> Bool {
        guard let busy = busySink() else { return false }
        guard let deadline else {
            try await busy.wait()
            return true
        }
        _ = try await withDeadline(deadline, clock: realTime) { try await busy.wait() }
        if realTime.now >= deadline {
            throw EventBusError(.timedOut, "the broker is settled, but a handler still runs")
        }
        return true
    }

    /// A signal from the first consumer whose handlers or reports are under way. One that holds a delivery for its next
    /// attempt is not asked: its worker is at work until then.
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
    private var unsettledDescription: String {
        var parts = queues.filter { $0.ready + $0.unsettled + $0.delayed > 0 }.map { queue in
            "queue \(queue.name.quotedForError) has \(queue.ready) ready, \(queue.unsettled) unsettled, "
                + "\(queue.delayed) delayed"
                + (queue.consumers == 0 ? " and no consumer" : " and \(queue.consumers) consumers")
        }
        let (delayed, blocked) = look { state in (state.timers.count, state.blockedPublishes.count) }
        if delayed > 0 { parts.append("\(delayed) delays are pending") }
        if blocked > 0 { parts.append("\(blocked) publishes wait for room") }
        if let log = faultLog { parts.append("the faults have seed \(log.plan.seed)") }
        return parts.isEmpty ? "it was busy until the limit and is settled now" : parts.joined(separator: "; ")
    }
}
