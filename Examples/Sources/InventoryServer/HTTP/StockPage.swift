import InventoryService

/// Some products of the list, in the order of their skus.
struct StockPage: Codable, Hashable, Sendable {
    /// How many products a page can have.
    static let limits = 1...1_000
    /// How many it has unless asked for another number.
    static let defaultLimit = 100

    /// The products.
    var items: [StockItem]
    /// What to give as `after` for those that follow; missing where these are the last.
    var next: String?
}
