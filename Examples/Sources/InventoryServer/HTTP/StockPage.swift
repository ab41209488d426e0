import InventoryService

/// A page of the list of products, in the order of their SKUs.
struct StockPage: Codable, Hashable, Sendable {
    /// The products.
    var items: [StockItem]
    /// The value of `after` for the next page, or `nil` on the last page.
    var next: String?
}
