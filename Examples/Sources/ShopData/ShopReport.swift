import InventoryService

/// The figures of a run, as `--report` writes them.
public struct ShopReport: Codable, Hashable, Sendable {
    /// Orders that were placed.
    public var orders: Int
    /// Orders for which everything was put aside.
    public var reserved: Int
    /// Orders that could not be filled.
    public var rejected: Int
    /// Customers that were told.
    public var notified: Int
    /// Deliveries that were tried again.
    public var retries: Int
    /// Deliveries that were not handled since they had been before.
    public var duplicatesSuppressed: Int
    /// Deliveries that were given up.
    public var deadLetters: Int
    /// What was in stock before, by product.
    public var openingStock: [String: Int]
    /// What is in stock now, by product.
    public var remainingStock: [String: Int]
    /// Pieces that were promised and are not there.
    public var oversold: Int
    /// How long it took.
    public var seconds: Double

    /// The figures of a run.
    ///
    /// - Parameters:
    ///   - audit: The books at the end of it; all but the following is counted there.
    ///   - retries: Deliveries that were tried again.
    ///   - duplicatesSuppressed: Deliveries that were not handled since they had been before.
    ///   - elapsed: How long it took.
    public init(_ audit: ShopAudit, retries: Int, duplicatesSuppressed: Int, elapsed: Duration) {
        orders = audit.orders.count
        let reserved = audit.decisions.values.count { if case .reserved = $0 { true } else { false } }
        self.reserved = reserved
        rejected = audit.decisions.count - reserved
        notified = audit.notifications.count
        self.retries = retries
        self.duplicatesSuppressed = duplicatesSuppressed
        deadLetters = audit.deadLetters
        openingStock = audit.openingStock
        remainingStock = audit.remainingStock
        oversold = audit.oversold
        seconds = elapsed.seconds
    }
}
