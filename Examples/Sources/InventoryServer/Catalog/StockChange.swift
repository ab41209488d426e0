import InventoryService
import ShopEvents

/// A change of a product. Values that are `nil` stay unchanged.
struct StockChange: Hashable, Sendable {
    /// The new number of items.
    var quantity: Int
    /// The name. A new product without a name is named by its SKU.
    var name: String?
    /// The price of one item. A new product without a price costs nothing.
    var unitPrice: Money?

    /// Returns the product after the change, or `nil` if such a product is invalid.
    func applied(to existing: StockItem?, sku: String) -> StockItem? {
        StockItem(
            sku: sku,
            name: name ?? existing?.name ?? sku,
            quantity: quantity,
            unitPrice: unitPrice ?? existing?.unitPrice ?? .zero
        )
    }
}
