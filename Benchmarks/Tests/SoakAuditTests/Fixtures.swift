import SoakAudit

/// Ledgers that a test writes entry by entry. Times are in milliseconds.
struct Scene {
    /// The names of the workers, which the index of an entry refers to.
    static let workers = ["publisher-1", "plain-1", "plain-2", "keyed-1", "keyed-2", "inbox-1", "lock-1", "lock-2"]

    private var records: [[LedgerRecord]] = workers.map { _ in [LedgerRecord(time: 0, kind: .started)] }
    private var serial: UInt64 = 0
    var faults: [FaultEntry] = []
    var deadLetters: [DeadLetterEntry] = []
    var samples: [ResourceSample] = []

    /// Returns the first event of a topic, from the given place on, that has a behavior.
    static func event(
        _ topic: SoakTopic = .plain,
        _ behavior: EventNumber.Behavior = .succeeds,
        from sequence: UInt64 = 1
    ) -> EventNumber {
        var number = EventNumber(topic, publisher: 1, task: 0, sequence: sequence)
        while number.behavior != behavior {
            number = EventNumber(topic, publisher: 1, task: 0, sequence: number.sequence + 1)
        }
        return number
    }

    mutating func record(
        _ worker: String,
        _ kind: LedgerRecord.Kind,
        _ number: UInt64 = 0,
        at time: UInt64,
        extra: UInt64 = 0,
        code: UInt8 = 0
    ) {
        guard let index = Self.workers.firstIndex(of: worker) else { return }
        records[index].append(
            LedgerRecord(time: time * 1_000_000, kind: kind, number: number, extra: extra, code: code)
        )
    }

    /// Publishes an event from one time to another.
    mutating func publish(
        _ number: EventNumber,
        _ begin: UInt64,
        _ end: UInt64,
        _ outcome: LedgerRecord.Kind = .confirmed
    ) {
        record("publisher-1", .attempted, number.rawValue, at: begin, code: 1)
        record("publisher-1", outcome, number.rawValue, at: end)
    }

    /// Handles an event from one time to another.
    mutating func handle(
        _ number: EventNumber,
        _ worker: String,
        _ begin: UInt64,
        _ end: UInt64,
        _ outcome: LedgerRecord.Kind = .effect
    ) {
        serial += 1
        record(worker, .delivered, number.rawValue, at: begin, extra: serial, code: 1)
        record(worker, outcome, number.rawValue, at: end, extra: serial)
        record(worker, outcome == .effect ? .acknowledged : .settled, number.rawValue, at: end)
    }

    /// Holds a resource from one time to another.
    mutating func lock(_ worker: String, _ resource: UInt64, _ begin: UInt64, _ end: UInt64, fence: UInt64) {
        record(worker, .lockRequested, resource, at: begin)
        record(worker, .lockAcquired, resource, at: begin, extra: fence)
        record(worker, .lockReleased, resource, at: end, extra: fence)
    }

    mutating func fault(_ kind: Fault.Kind, _ target: String, _ begin: UInt64, _ end: UInt64) {
        faults.append(
            FaultEntry(fault: Fault(kind, target: target), began: begin * 1_000_000, healed: end * 1_000_000)
        )
    }

    /// The report about the ledgers.
    var report: SoakReport {
        Audit(
            ledgers: zip(Self.workers, records).map { Ledger(worker: $0, records: $1) },
            faults: faults,
            deadLetters: deadLetters,
            samples: samples,
            limits: Audit.Limits(publish: 10, lock: 8, detection: 11)
        ).report(seed: 1, problems: [])
    }

    /// The names of the violations. Scenes are too short for a recovery.
    var violations: [String] { report.violations.map(\.name).filter { $0 != "faults without a recovery" } }
}

extension SoakReport {
    /// The value of a count.
    func value(_ name: String) -> Int? { counts.first { $0.name == name }?.value }
}
