import Glibc

/// The wall time and CPU time of the process since this was created.
struct Usage {
    private let start = ContinuousClock.now
    private let cpu = Usage.cpuSeconds()

    /// Returns one line in the format that RabbitPeer also prints.
    func report(_ half: String, events: Int, since first: ContinuousClock.Instant? = nil) -> String {
        let seconds = (first ?? start).duration(to: .now) / .seconds(1)
        let cpuPerEvent = (Usage.cpuSeconds() - cpu) * 1_000_000 / Double(events)
        return "\(half) events=\(events) seconds=\(seconds.rounded(to: 3)) "
            + "rate=\(Int((Double(events) / seconds).rounded())) cpu_us=\(cpuPerEvent.rounded(to: 2))"
    }

    private static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1_000_000
    }
}

extension Double {
    func rounded(to places: Int) -> Double {
        let scale = Double(repeatElement(10, count: places).reduce(1, *))
        return (self * scale).rounded() / scale
    }
}
