extension Audit {
    /// Checks that the events of each key were handled in order, one at a time.
    func auditOrder(_ report: inout SoakReport) {
        var streams: [UInt64: [(sequence: UInt64, event: EventHistory)]] = [:]
        for (rawValue, event) in events {
            let number = EventNumber(rawValue: rawValue)
            if number.topic == .keyed { streams[number.stream, default: []].append((number.sequence, event)) }
        }
        var inversions: [String] = []
        var overlaps: [String] = []
        var explained = 0
        for (stream, unsorted) in streams {
            // Of an event whose publish has no known outcome, a copy may reach the broker later.
            let events = unsorted.filter { $0.event.outcome == .confirmed }.sorted { $0.sequence < $1.sequence }
            var latest: (time: UInt64, sequence: UInt64) = (0, 0)
            for (sequence, event) in events {
                guard let effect = event.firstEffect else { continue }
                if effect < latest.time { inversions.append("key \(stream): \(sequence) after \(latest.sequence)") }
                if effect > latest.time { latest = (effect, sequence) }
            }
            let calls = unsorted.flatMap { item in item.event.calls.map { (item.sequence, $0) } }
                .sorted { $0.1.began < $1.1.began }
            var open: (sequence: UInt64, call: EventHistory.Call)?
            for (sequence, call) in calls {
                if let open, let end = open.call.ended, call.began < end {
                    // The instance was stopped, or had not detected the loss of its connection yet.
                    if isSuperseded(open.call) {
                        explained += 1
                    } else {
                        overlaps.append("key \(stream): \(open.sequence) and \(sequence) at \(call.began)")
                    }
                }
                if (open?.call.ended ?? 0) <= (call.ended ?? 0) { open = (sequence, call) }
            }
        }
        report.count("keys", streams.count)
        report.check("inversions of a key", inversions)
        report.count("overlaps of a key with a stopped or cut-off instance", explained)
        report.check("other overlaps of a key", overlaps)
    }

    private func isSuperseded(_ call: EventHistory.Call) -> Bool {
        let worker = workers[call.worker]
        let end = call.ended ?? .max
        return worker.pause(from: call.began, to: end) > 0
            || worker.isDisturbed(from: call.began, to: end + min(limits.detection * Self.second, .max - end))
    }
}
