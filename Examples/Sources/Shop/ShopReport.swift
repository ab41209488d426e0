/// The figures of a run, as `--report` writes them.
struct ShopReport: Codable, Hashable, Sendable {
    /// Orders that were placed.
    var orders: Int
    /// Orders for which everything was put aside.
    var reserved: Int
    /// Orders that could not be filled.
    var rejected: Int
    /// Customers that were told.
    var notified: Int
    /// Deliveries that were tried again.
    var retries: Int
    /// Deliveries that were not handled since they had been before.
    var duplicatesSuppressed: Int
    /// Deliveries that were given up.
    var deadLetters: Int
    /// What was in stock before, by product.
    var openingStock: [String: Int]
    /// What is in stock now, by product.
    var remainingStock: [String: Int]
    /// Pieces that were promised and are not there.
    var oversold: Int
    /// How long it took.
    var seconds: Double
}
