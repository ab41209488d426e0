import InventoryService

/// The figures of a run in the format of `--report`.
public struct ShopReport: Codable, Hashable, Sendable {
    /// The number of placed orders.
    public var orders: Int
    /// The number of orders whose items were all reserved.
    public var reserved: Int
    /// The number of orders that could not be filled.
    public var rejected: Int
    /// The number of notified customers.
    public var notified: Int
    /// The number of retried deliveries.
    public var retries: Int
    /// The number of deliveries that were suppressed because their events had already been handled.
    public var duplicatesSuppressed: Int
    /// The number of dead letters.
    public var deadLetters: Int
    /// The stock before the run, by product.
    public var openingStock: [String: Int]
    /// The current stock, by product.
    public var remainingStock: [String: Int]
    /// The number of items that were promised and do not exist.
    public var oversold: Int
    /// The duration of the run in seconds.
    public var seconds: Double

    /// Creates the figures of a run.
    ///
    /// - Parameters:
    ///   - audit: The books at the end of the run, from which all other figures are derived.
    ///   - retries: The number of retried deliveries.
    ///   - duplicatesSuppressed: The number of suppressed duplicates.
    ///   - elapsed: The duration of the run.
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
