/// How far a run has come.
struct Progress: Sendable {
    /// Orders there are to place.
    var total: Int
    var counts: Tally.Counts
    /// Customers who were told that their order is on its way.
    var confirmed: Int
    /// Customers who were told that it is not.
    var cancelled: Int
    /// Events in the broker that are not handled yet.
    var inFlight: Int
    var elapsed: Duration

    /// The whole in one line, the most important first.
    var line: String {
        let done = confirmed + cancelled
        let rate = Int(Double(done) / max(elapsed.seconds, 0.001))
        return "\(done)/\(total) orders, \(rate)/s | placed \(counts.placed), confirmed \(confirmed), "
            + "cancelled \(cancelled) | in flight \(inFlight) | retries \(counts.retries), "
            + "duplicates \(counts.duplicatesSuppressed), dead letters \(counts.deadLetters)"
    }
}

extension Duration {
    /// The duration in seconds, to the millisecond.
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds * 1_000 + attoseconds / 1_000_000_000_000_000) / 1_000
    }
}
