extension Audit {
    /// Checks that every confirmed event was handled or dead-lettered, and nothing else was.
    func auditEvents(_ report: inout SoakReport) {
        var dead: Set<UInt64> = []
        var unexpectedLetters: [String] = []
        for letter in deadLetters {
            guard let number = EventNumber(id: letter.id), number.topic?.group == letter.group else {
                unexpectedLetters.append("\(letter.id) in \(letter.group).dead: \(letter.reason)")
                continue
            }
            dead.insert(number.rawValue)
            if number.behavior != .alwaysFails {
                unexpectedLetters.append("\(letter.id) in \(letter.group).dead: \(letter.reason)")
            }
        }
        var outcomes = (attempted: 0, confirmed: 0, unroutable: 0, refused: 0, unknown: 0, unanswered: 0)
        var handled = 0
        var destroyed = 0
        var lost: [String] = []
        var unexpected: [String] = []
        for (rawValue, event) in events {
            let number = EventNumber(rawValue: rawValue)
            if event.firstEffect != nil { handled += 1 }
            guard event.publisher != nil else {
                unexpected.append(number.id)
                continue
            }
            outcomes.attempted += 1
            switch event.outcome {
            case .confirmed:
                outcomes.confirmed += 1
                guard event.firstEffect == nil, !dead.contains(rawValue) else { break }
                if isDestroyed(number, event) { destroyed += 1 } else { lost.append(describe(number, event)) }
            case .unroutable: outcomes.unroutable += 1
            case .refused: outcomes.refused += 1
            case .unknown: outcomes.unknown += 1
            case .none: outcomes.unanswered += 1
            }
        }
        report.count("events attempted", outcomes.attempted)
        report.count("  confirmed", outcomes.confirmed)
        report.count("  without a queue, by their receipt", outcomes.unroutable)
        report.count("  refused", outcomes.refused)
        report.count("  of unknown outcome", outcomes.unknown)
        report.count("  publisher killed before the outcome", outcomes.unanswered)
        report.count("events handled", handled)
        report.count("events dead-lettered", dead.count)
        report.count("events in objects when they were deleted", destroyed)
        report.check("lost", lost)
        report.check("unexpected", unexpected)
        report.check("corrupt", corrupt)
        report.check("dead letters of events that do not fail", unexpectedLetters)
    }

    /// Returns a Boolean value indicating whether the event was in an object when the object was deleted.
    private func isDestroyed(_ number: EventNumber, _ event: EventHistory) -> Bool {
        guard let topic = number.topic else { return false }
        return faults.contains { entry in
            // A deletion after the publish had begun, and before the event could be handled.
            guard event.attempted <= entry.healed else { return false }
            switch entry.fault.kind {
            case .queueDeleted: return entry.fault.target == topic.group
            case .deadLettersDeleted:
                return entry.fault.target == topic.group && number.behavior == .alwaysFails
            case .delayLevelDeleted:
                // Keyed events are retried in the process. Others may be delayed when they are published or retried.
                return topic != .keyed && (number.behavior != .succeeds || topic == .plain)
            default: return false
            }
        }
    }

    func describe(_ number: EventNumber, _ event: EventHistory) -> String {
        let start = ledgers.lazy.compactMap(\.records.first?.time).min() ?? 0
        func at(_ time: UInt64?) -> String { time.map { "\(($0 &- start) / 1_000_000) ms" } ?? "never" }
        let calls = event.calls.map {
            "\(ledgers[$0.worker].worker) \(at($0.began)) to \(at($0.ended)), \($0.hasEffect ? "effect" : "no effect")"
                + ", settled \(at($0.settled))"
        }
        return "\(number.id) attempted \(event.attempts)x \(at(event.attempted)), answered \(at(event.answered)); "
            + calls.joined(separator: "; ")
    }
}
