extension Audit {
    /// The number of descriptors and threads that may be added to those at the beginning.
    private static let tolerance = 4
    /// The time after which a process has reached its ordinary size, in seconds.
    private static let warmUp: UInt64 = 10
    /// The time over which a slope is meaningful, in seconds.
    private static let slopeTime: UInt64 = 120

    /// Compares the resources of each worker's last process at its end with those at its beginning.
    func measureResources(_ report: inout SoakReport) {
        var grown: [String] = []
        for ledger in ledgers {
            let all = samples.filter { $0.worker == ledger.worker }
            guard let last = all.last else { continue }
            let own = all.filter { $0.process == last.process }
            let start = own[0].time
            let settled = own.filter { $0.time >= start + Self.warmUp * Self.second }
            guard let first = settled.first else { continue }
            let seconds = (last.time - start) / Self.second
            report.resources.append(
                SoakReport.Resources(
                    worker: ledger.worker,
                    seconds: Int(seconds),
                    kilobytes: last.kilobytes,
                    kilobytesPerHour: seconds < Self.slopeTime ? nil : Self.slope(settled),
                    descriptors: [first.descriptors, last.descriptors],
                    threads: [first.threads, last.threads]
                )
            )
            if last.descriptors > first.descriptors + Self.tolerance {
                grown.append("\(ledger.worker): \(first.descriptors) descriptors became \(last.descriptors)")
            }
            if last.threads > first.threads + Self.tolerance {
                grown.append("\(ledger.worker): \(first.threads) threads became \(last.threads)")
            }
        }
        report.check("processes with more descriptors or threads than at first", grown)
    }

    /// Returns the slope of the line of least squares through the memory, in kilobytes per hour.
    static func slope(_ samples: [ResourceSample]) -> Int {
        guard let start = samples.first?.time else { return 0 }
        let points = samples.map { (Double($0.time - start) / 3.6e12, Double($0.kilobytes)) }
        let count = Double(points.count)
        let meanX = points.reduce(0) { $0 + $1.0 } / count
        let meanY = points.reduce(0) { $0 + $1.1 } / count
        let above = points.reduce(0) { $0 + ($1.0 - meanX) * ($1.1 - meanY) }
        let below = points.reduce(0) { $0 + ($1.0 - meanX) * ($1.0 - meanX) }
        return below == 0 ? 0 : Int((above / below).rounded())
    }
}
