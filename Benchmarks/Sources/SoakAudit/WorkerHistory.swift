/// The disturbances of one worker: the ends of its processes, and the losses of its connections and consumers.
struct WorkerHistory {
    /// The times of all disturbances, in order.
    private(set) var disturbances: [UInt64] = []
    /// The times in which the worker was stopped by a signal.
    private(set) var pauses: [Range<UInt64>] = []

    init(_ ledger: Ledger, faults: [FaultEntry]) {
        for (index, record) in ledger.records.enumerated() {
            switch record.kind {
            case .disconnected, .ended: disturbances.append(record.time)
            // What was in hand when the process was killed was lost with it. Only the start of the next one is in the ledger.
            case .started where index > 0: disturbances.append(record.time)
            default: break
            }
        }
        for entry in faults where entry.fault.target == ledger.worker {
            switch entry.fault.kind {
            case .workerPause: pauses.append(entry.began..<max(entry.began, entry.healed) + 1)
            case .workerKill, .workerRestart: disturbances.append(entry.began)
            default: break
            }
        }
        disturbances.sort()
    }

    /// Returns a Boolean value indicating whether there was a disturbance between two times.
    func isDisturbed(from begin: UInt64, to end: UInt64) -> Bool {
        var (low, high) = (0, disturbances.count)
        while low < high {
            let middle = (low + high) / 2
            if disturbances[middle] < begin { low = middle + 1 } else { high = middle }
        }
        return low < disturbances.count && disturbances[low] <= end
    }

    /// Returns the time that the worker was stopped between two times.
    func pause(from begin: UInt64, to end: UInt64) -> UInt64 {
        guard begin < end else { return 0 }
        return pauses.reduce(0) { $0 + UInt64($1.clamped(to: begin..<end).count) }
    }
}
