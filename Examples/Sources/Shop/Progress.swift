import ShopData

/// The progress of a run.
struct Progress: Sendable {
    /// The number of orders to place.
    var total: Int
    var counts: DeliveryCounter.Counts
    /// The number of customers that were notified of a confirmation.
    var confirmed: Int
    /// The number of customers that were notified of a cancellation.
    var cancelled: Int
    /// The number of placed orders whose customers have not been notified yet.
    var inFlight: Int
    var elapsed: Duration

    /// The progress on one line. The most important figures come first and fit into 80 columns.
    var line: String {
        let told = confirmed + cancelled
        let rate = Int(Double(told) / max(elapsed.seconds, 0.001))
        return "\(told)/\(total) orders | \(rate)/s | in flight \(inFlight) | retries \(counts.retries) | "
            + "dead letters \(counts.deadLetters) | placed \(counts.placed), confirmed \(confirmed), "
            + "cancelled \(cancelled), duplicates \(counts.duplicatesSuppressed)"
    }
}
