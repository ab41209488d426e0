/// The comparison of all ledgers with each other.
package struct Audit {
    /// The times that the audit allows, in seconds.
    package struct Limits: Sendable {
        /// The deadline of a publish.
        package var publish: UInt64
        /// The time that a lock user waits.
        package var lock: UInt64
        /// The time after which a dead connection has been detected.
        package var detection: UInt64

        /// Creates limits.
        package init(publish: UInt64, lock: UInt64, detection: UInt64) {
            self.publish = publish
            self.lock = lock
            self.detection = detection
        }
    }

    static let second: UInt64 = 1_000_000_000

    let ledgers: [Ledger]
    let faults: [FaultEntry]
    let deadLetters: [DeadLetterEntry]
    let samples: [ResourceSample]
    let limits: Limits
    let workers: [WorkerHistory]
    private(set) var events: [UInt64: EventHistory] = [:]
    private(set) var corrupt: [String] = []
    /// The times in which RabbitMQ was killed, stopped, or unreachable for everyone.
    let brokerFaults: [FaultEntry]

    /// Creates an audit.
    package init(
        ledgers: [Ledger],
        faults: [FaultEntry],
        deadLetters: [DeadLetterEntry],
        samples: [ResourceSample],
        limits: Limits
    ) {
        self.ledgers = ledgers
        self.faults = faults
        self.deadLetters = deadLetters
        self.samples = samples
        self.limits = limits
        workers = ledgers.map { WorkerHistory($0, faults: faults) }
        brokerFaults = faults.filter { $0.fault.kind == .rabbitKill || $0.fault.kind == .rabbitPause }
        for (worker, ledger) in ledgers.enumerated() {
            for record in ledger.records where EventNumber(rawValue: record.number).topic != nil {
                events[record.number, default: EventHistory()].add(record, worker: worker)
                if record.kind == .corrupt {
                    corrupt.append("\(EventNumber(rawValue: record.number).id) at \(ledger.worker)")
                }
            }
        }
    }

    /// Returns the report. The problems that were noticed during the run are violations.
    package func report(seed: UInt64, problems: [String]) -> SoakReport {
        var report = SoakReport(seed: seed)
        let times = ledgers.lazy.flatMap { [$0.records.first?.time, $0.records.last?.time] }.compactMap(\.self)
        if let first = times.min(), let last = times.max() { report.seconds = Int((last - first) / Self.second) }
        report.faults = faults.count
        auditEvents(&report)
        auditDuplicates(&report)
        auditOrder(&report)
        auditLocks(&report)
        auditDeadlines(&report)
        measureRecovery(&report)
        measureResources(&report)
        report.check("problems of the run", problems)
        return report
    }
}

extension SoakReport {
    /// Adds a count.
    mutating func count(_ name: String, _ value: Int) { counts.append(Count(name: name, value: value)) }

    /// Adds a count that must be zero.
    mutating func check(_ name: String, _ cases: [String]) {
        count(name, cases.count)
        guard !cases.isEmpty else { return }
        violations.append(Violation(name: name, count: cases.count, examples: Array(cases.sorted().prefix(5))))
    }
}
