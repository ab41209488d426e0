import EventBus

extension BrokerState {
    /// Schedules `work` for `due`, and wakes the timer loops if nothing was due earlier.
    mutating func startTimer(_ work: TimerQueue.Work, due: AnyClock.Instant, _ effects: inout Effects) {
        guard timers.insert(work, due: due), !timerLoops.isEmpty else { return }
        for loop in timerLoops.values { effects.answer(.wake(loop)) }
        timerLoops.removeAll()
    }

    /// Does the work that is due by `now`. Any number of callers may call it at any time.
    ///
    /// - Returns: The time of the next call, or `nil` if nothing is pending.
    mutating func fireTimers(by now: AnyClock.Instant, _ effects: inout Effects) -> AnyClock.Instant? {
        while let work = timers.popDue(by: now) {
            switch work {
            case .enqueue(let event, let queue):
                if isAlive(queue) { enqueue(event, to: queue.slot, &effects) }
            case .route(let envelope):
                // The broker has already accepted this event, so it is added even to a full queue.
                let targets = routes.queues(for: envelope.topic)
                if route(envelope, to: targets, extras: nil, now: { now }, &effects) == .unroutable {
                    unroutableDelays.append(DeadLetter(unroutable: envelope, at: effects.wallTime))
                }
            }
        }
        return timers.nextDue
    }
}

extension DeadLetter {
    /// Creates the dead letter of a scheduled event that matched no subscription when it was due.
    fileprivate init(unroutable envelope: Envelope, at time: EventTime) {
        self.init(
            envelope: envelope,
            group: "",
            queue: "",
            failure: Failure(
                reason: .unroutableDelay,
                errorType: "",
                message: "no subscription matched its topic when its delay had passed"
            ),
            attempts: 0,
            firstFailure: nil,
            lastFailure: time
        )
    }
}
