package import EventBus

extension OutboxRelay.State {
    /// Takes the signal that reports a change of the relay's activity, so that it can be raised outside the lock.
    mutating func takeChange() -> Signal? {
        defer { change = nil }
        return change
    }
}

extension OutboxRelay: ActivityReporting {
    /// Returns the current activity of the relay, for a test that waits until everything has settled.
    ///
    /// Events without a subscriber count as settled, as dead letters do. So does a relay on standby.
    package func activity() -> Activity {
        let (now, wallTime) = (clock.now, wallClock.now)
        return state.withLock { state in
            guard state.phase == .running || state.phase == .stopping else { return .idle }
            let change = state.change ?? Signal()
            state.change = change
            let machine = state.machine
            let published = machine.flights.values.reduce(0) { $0 + $1.count }
            if published > 0 {
                return .busy(description: "the outbox relay publishes \(published) events", change: change)
            }
            guard state.isWaiting else { return .busy(description: "the outbox relay is at work", change: change) }
            if let pause = machine.databasePausedUntil, let failure = machine.databaseFailure {
                return .waiting(description: "the outbox's database fails: \(failure)", due: pause, change: change)
            }
            guard machine.leaseEnd != nil else { return .idle }
            if let outage = machine.outage, machine.lanes.waitingCount > 0 {
                let description = "the outbox relay retries \(machine.lanes.waitingCount) events: \(outage.error)"
                return .waiting(description: description, due: outage.nextProbe, change: change)
            }
            guard let next = machine.nextDue else { return .idle }
            let due = now.advanced(by: max(.milliseconds(1), next.since(wallTime)))
            return .waiting(description: "the outbox holds events for later", due: due, change: change)
        }
    }
}
