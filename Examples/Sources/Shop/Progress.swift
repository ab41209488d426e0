import ShopData

/// How far a run has come.
struct Progress: Sendable {
    /// Orders there are to place.
    var total: Int
    var counts: Tally.Counts
    /// Customers who were told that their order is on its way.
    var confirmed: Int
    /// Customers who were told that it is not.
    var cancelled: Int
    /// Orders that were placed and whose customers have not been told yet.
    var inFlight: Int
    var elapsed: Duration

    /// The whole in one line; what matters most comes first and fits 80 columns.
    var line: String {
        let told = confirmed + cancelled
        let rate = Int(Double(told) / max(elapsed.seconds, 0.001))
        return "\(told)/\(total) orders | \(rate)/s | in flight \(inFlight) | retries \(counts.retries) | "
            + "dead letters \(counts.deadLetters) | placed \(counts.placed), confirmed \(confirmed), "
            + "cancelled \(cancelled), duplicates \(counts.duplicatesSuppressed)"
    }
}
