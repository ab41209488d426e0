import EventBus

extension InMemoryBroker {
    /// Keeps `connection` and the broker's timers running until the task is cancelled.
    func run(_ connection: Int) async throws {
        let isConnected = step { state, effects in state.connect(connection, &effects) }
        guard isConnected else {
            throw EventBusError(
                .alreadyRunning,
                "run() of this transport is under way; give each bus its own transport"
            )
        }
        while !Task.isCancelled {
            await waitForTimers()
        }
        let ports = look { state in state.connections[connection].consumers.map { state.consumers[$0].port } }
        step { state, effects in state.disconnect(connection, &effects) }
        for port in ports { await port.idle() }
    }

    /// Does the work that is due, then waits for the next due time or for earlier work.
    private func waitForTimers() async {
        let rearmed = OneShot<Void>()
        let now = clock.now
        let (number, due) = step { state, effects in
            var due = state.fireTimers(by: now, &effects)
            // On a manual clock the broker is notified of each advance instead, so no task sleeps for it.
            if !clock.isManual, let check = state.enforceConsumerTimeout(at: now, &effects) {
                due = min(due ?? check, check)
            }
            let number = state.makeNumber()
            state.timerLoops[number] = rearmed
            return (number, due)
        }
        if let due {
            await rearmed.wait(
                until: due,
                on: clock,
                atDeadline: { rearmed.resolve(()) },
                onCancel: { rearmed.resolve(()) }
            )
        } else {
            await rearmed.wait(onCancel: { rearmed.resolve(()) })
        }
        update { state in _ = state.timerLoops.removeValue(forKey: number) }
    }

    /// Waits until `connection` is running.
    func waitUntilRunning(_ connection: Int) async throws {
        let waiter = OneShot<Void>()
        let number: UInt64? = update { state in
            if state.connections[connection].isRunning { return nil }
            let number = state.makeNumber()
            state.connections[connection].waitingForRun[number] = waiter
            return number
        }
        guard let number else { return }
        await waiter.wait(onCancel: { waiter.resolve(()) })
        update { state in _ = state.connections[connection].waitingForRun.removeValue(forKey: number) }
        try Task.checkCancellation()
    }
}
