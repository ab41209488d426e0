/// Everything that the ledgers say about one event.
struct EventHistory {
    /// The outcome of an event's last publish.
    enum Outcome {
        /// There is none, because the publisher was killed.
        case none
        case confirmed, unroutable, refused, unknown
    }

    /// One call of a handler.
    struct Call {
        var worker: Int
        var serial: UInt64
        var began: UInt64
        /// The time of the effect or of the failure, or `nil` if the process was killed before.
        var ended: UInt64?
        var hasEffect = false
        /// The time of the acknowledgement or of another settlement, or `nil` if there was none.
        var settled: UInt64?
    }

    /// The publisher, or `nil` if the event was never published.
    var publisher: Int?
    var attempts = 0
    var attempted: UInt64 = 0
    /// The beginning of the last publish.
    var lastAttempted: UInt64 = 0
    /// The time of the last outcome.
    var answered: UInt64?
    var outcome = Outcome.none
    var calls: [Call] = []

    /// The time of the first effect.
    var firstEffect: UInt64? { calls.lazy.filter(\.hasEffect).compactMap(\.ended).min() }

    /// Adds an entry of the worker with this number.
    mutating func add(_ record: LedgerRecord, worker: Int) {
        switch record.kind {
        case .attempted:
            if attempts == 0 { attempted = record.time }
            publisher = worker
            attempts += 1
            lastAttempted = record.time
            outcome = .none
        case .confirmed: answer(.confirmed, record)
        case .unroutable: answer(.unroutable, record)
        case .refused: answer(.refused, record)
        case .unknown: answer(.unknown, record)
        case .delivered: calls.append(Call(worker: worker, serial: record.extra, began: record.time))
        case .effect, .failed:
            guard
                let index = calls.lastIndex(where: {
                    $0.worker == worker && $0.serial == record.extra && $0.ended == nil
                })
            else { return }
            calls[index].ended = record.time
            calls[index].hasEffect = record.kind == .effect
        case .acknowledged, .settled:
            if let index = calls.lastIndex(where: { $0.worker == worker && $0.settled == nil }) {
                calls[index].settled = record.time
            }
        default: break
        }
    }

    private mutating func answer(_ outcome: Outcome, _ record: LedgerRecord) {
        self.outcome = outcome
        answered = record.time
    }
}
