extension Audit {
    /// Counts events that were handled twice, and those without a cause.
    func auditDuplicates(_ report: inout SoakReport) {
        var duplicates = 0
        var unexplained: [String] = []
        var inboxDuplicates = 0
        var unexplainedOfInbox: [String] = []
        for (rawValue, event) in events where event.calls.count(where: \.hasEffect) > 1 {
            let number = EventNumber(rawValue: rawValue)
            if number.topic == .inbox {
                inboxDuplicates += 1
                if !isLostRecord(event) { unexplainedOfInbox.append(describe(number, event)) }
            } else {
                duplicates += 1
                if !isExplained(event) { unexplained.append(describe(number, event)) }
            }
        }
        report.count("duplicates without an inbox", duplicates)
        report.check("duplicates without a cause", unexplained)
        report.count("inbox: events with more than one effect", inboxDuplicates)
        report.check("inbox: events with another effect without a cause", unexplainedOfInbox)
    }

    /// Returns a Boolean value indicating whether a publish or a delivery of the event was disturbed, so that the event was
    /// sent or delivered again.
    private func isExplained(_ event: EventHistory) -> Bool {
        if event.attempts > 1 { return true }
        let detection = limits.detection * Self.second
        if let publisher = event.publisher,
            workers[publisher].isDisturbed(from: event.attempted, to: event.answered ?? .max)
        {
            return true
        }
        let isDisturbed = event.calls.contains { call in
            // An acknowledgement may have been lost with a connection whose end was detected later.
            workers[call.worker].isDisturbed(from: call.began, to: (call.settled ?? UInt64.max - detection) + detection)
        }
        if isDisturbed { return true }
        // While it waits in a delay level, the broker itself sends it from queue to queue at least once.
        let waits = event.calls.count(where: { !$0.hasEffect }) > 0
        guard waits, let last = event.calls.map(\.began).max() else { return false }
        return brokerFaults.contains { $0.began <= last && $0.healed >= event.attempted }
    }

    /// Returns a Boolean value indicating whether the inbox may have had no record when the event was handled again: its
    /// process was killed or stopped before the record was written, or Redis could not be reached or lost its memory.
    private func isLostRecord(_ event: EventHistory) -> Bool {
        let calls = event.calls.filter(\.hasEffect)
        guard let first = calls.map(\.began).min(), let last = calls.map(\.began).max() else { return false }
        let redisKilled = faults.contains { $0.fault.kind == .redisKill && $0.began <= last && $0.healed >= first }
        if redisKilled { return true }
        return calls.contains { call in
            let end = call.settled ?? .max
            if workers[call.worker].pause(from: call.began, to: min(end, last)) > 0 { return true }
            // Killed between the effect and the record.
            return faults.contains {
                $0.fault.kind == .workerKill && $0.fault.target == ledgers[call.worker].worker
                    && $0.began >= call.began && $0.began <= end
            }
        }
    }
}
