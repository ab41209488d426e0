import InventoryService
import ShopEvents

/// What is to be set of a product. What is `nil` stays as it is.
struct StockChange: Hashable, Sendable {
    /// How many pieces there are from now on.
    var quantity: Int
    /// What people call it; a new product that is given no name is called by its sku.
    var name: String?
    /// The price of one piece; a new product that is given none costs nothing.
    var unitPrice: Money?

    /// The product as it is after the change; `nil` if there cannot be such a product.
    func applied(to existing: StockItem?, sku: String) -> StockItem? {
        StockItem(
            sku: sku,
            name: name ?? existing?.name ?? sku,
            quantity: quantity,
            unitPrice: unitPrice ?? existing?.unitPrice ?? .zero
        )
    }
}
