extension Audit {
    /// Measures how long it took after each fault until a newly published event of each topic was confirmed and handled,
    /// and a lock was granted.
    func measureRecovery(_ report: inout SoakReport) {
        var published: [UInt64: [(attempted: UInt64, done: UInt64)]] = [:]
        var handled: [SoakTopic: [(attempted: UInt64, done: UInt64)]] = [:]
        for (rawValue, event) in events {
            let number = EventNumber(rawValue: rawValue)
            guard let topic = number.topic, let publisher = event.publisher else { continue }
            if event.outcome == .confirmed, event.attempts == 1, let answered = event.answered {
                published[UInt64(publisher) << 8 | UInt64(topic.rawValue), default: []].append(
                    (event.attempted, answered)
                )
            }
            if let effect = event.firstEffect { handled[topic, default: []].append((event.attempted, effect)) }
        }
        var locks: [UInt64: [(attempted: UInt64, done: UInt64)]] = [:]
        for (worker, ledger) in ledgers.enumerated() {
            var requests: [UInt8: UInt64] = [:]
            for record in ledger.records {
                if record.kind == .lockRequested { requests[record.code] = record.time }
                if record.kind == .lockAcquired, let request = requests.removeValue(forKey: record.code) {
                    locks[UInt64(worker), default: []].append((request, record.time))
                }
            }
        }
        let series = (Array(published.values) + Array(handled.values) + Array(locks.values))
            .map { $0.sorted { $0.attempted < $1.attempted } }
        let end = ledgers.lazy.compactMap(\.records.last?.time).max() ?? 0
        var times: [String: [UInt64]] = [:]
        var unrecovered: [String] = []
        for entry in faults {
            // Nothing can recover from the first of two faults at the same time before the second is removed.
            let healed = faults.lazy.filter { $0.began <= entry.healed }.map(\.healed).max() ?? entry.healed
            var recovered: UInt64? = healed
            for one in series {
                let done = Self.firstDone(one, after: healed)
                if let done, let time = recovered { recovered = max(time, done) } else { recovered = nil }
            }
            if let recovered {
                times[entry.fault.kind.rawValue, default: []].append((recovered - healed) / 1_000_000)
            } else {
                unrecovered.append("\(entry.fault), \((end - min(end, healed)) / 1_000_000) ms before the end")
            }
        }
        for (kind, unsorted) in times.sorted(by: { $0.key < $1.key }) {
            let sorted = unsorted.sorted()
            func percentile(_ share: Double) -> Int {
                Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
            }
            report.recoveries.append(
                SoakReport.Recovery(
                    kind: kind,
                    count: sorted.count,
                    p50: percentile(0.5),
                    p99: percentile(0.99),
                    max: Int(sorted.last ?? 0)
                )
            )
        }
        report.check("faults without a recovery", unrecovered)
    }

    /// Returns the earliest end among calls that began after `time`.
    private static func firstDone(_ calls: [(attempted: UInt64, done: UInt64)], after time: UInt64) -> UInt64? {
        var (low, high) = (0, calls.count)
        while low < high {
            let middle = (low + high) / 2
            if calls[middle].attempted < time { low = middle + 1 } else { high = middle }
        }
        // The calls of one series overlap little, so the earliest end is among the next ones.
        return calls[low...].prefix(1_000).map(\.done).min()
    }
}
