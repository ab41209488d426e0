public import EventBus

extension OutboxRelay {
    /// Returns whether events are published and the reason if not, with the last measured backlog.
    ///
    /// The relay is not ready while the database or the broker is unusable, while the broker holds up single events, or
    /// while events wait for a subscription. The reason names the cause.
    public func health() -> ComponentHealth {
        let (phase, machine, backlog, unrouted) = state.withLock { ($0.phase, $0.machine, $0.backlog, $0.unrouted) }
        var details: [String: Int] = [:]
        if let backlog {
            details["backlog"] = backlog.count
            details["oldest_age_seconds"] = Int(backlog.oldestAge?.inSeconds ?? 0)
            details["parked"] = backlog.parked
            details["delayed"] = backlog.delayed
            details["without_subscriber"] = backlog.withoutSubscriber
            // Absent otherwise, because most readers never meet it.
            if backlog.isLowerBound { details["counts_are_lower_bounds"] = 1 }
        }
        details["publishes"] = machine.leaseEnd == nil ? 0 : 1
        let reason: String? =
            switch phase {
            case .idle: "not running yet"
            case .stopping: "shutting down"
            case .stopped: "shut down"
            case .running: Self.trouble(of: machine, unrouted: unrouted)
            }
        return ComponentHealth(
            name: "outbox.relay",
            status: reason == nil ? .ready : .notReady,
            reason: reason,
            details: details
        )
    }

    private static func trouble(of machine: RelayStateMachine, unrouted: UnroutedTopics?) -> String? {
        if let failure = machine.databaseFailure { return "the database cannot be used: \(failure)" }
        if let outage = machine.outage { return "the broker takes no events, which wait: \(outage.error)" }
        var reasons: [String] = []
        if let error = machine.held.values.first {
            reasons.append("the broker takes others, but holds up \(machine.held.count) of the events: \(error)")
        }
        if let unrouted { reasons.append("nobody subscribes to \(unrouted); the events wait") }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }
}
