import InventoryService

/// Some products of the list, in the order of their skus.
struct StockPage: Codable, Hashable, Sendable {
    /// The products.
    var items: [StockItem]
    /// What to give as `after` for those that follow; missing where these are the last.
    var next: String?
}
