import EventBus

extension BrokerState {
    /// Notes `work` for `due` and wakes the timer loops if nothing was due earlier.
    mutating func startTimer(_ work: TimerQueue.Work, due: AnyClock.Instant, _ effects: inout Effects) {
        guard timers.insert(work, due: due), !timerLoops.isEmpty else { return }
        for loop in timerLoops.values { effects.answer(.wake(loop)) }
        timerLoops.removeAll()
    }

    /// Does what is due by `now`. It does not matter how many call it, or when.
    ///
    /// - Returns: When to call it again; `nil` if nothing is pending.
    mutating func fireTimers(by now: AnyClock.Instant, _ effects: inout Effects) -> AnyClock.Instant? {
        while let work = timers.popDue(by: now) {
            switch work {
            case .enqueue(let event, let queue):
                if isAlive(queue) { enqueue(event, to: queue.slot, &effects) }
            case .route(let envelope):
                // What the broker took on it has to keep: it goes in however full the queue is.
                let targets = routes.queues(for: envelope.topic)
                if route(envelope, to: targets, replyAddress: nil, now: { now }, &effects) == .unroutable {
                    unroutableDelays.append(DeadLetter(unroutable: envelope))
                }
            }
        }
        return timers.nextDue
    }
}

extension DeadLetter {
    /// A scheduled event that no subscription matched when it was due.
    fileprivate init(unroutable envelope: Envelope) {
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
            lastFailure: .now()
        )
    }
}
