import EventBus
import GRDB
import InventoryService

extension SQLiteStockStore {
    /// A product; `nil` if there is none with this sku.
    func item(_ sku: String) async throws -> StockItem? {
        try await database.read { db in try StockTable.item(sku, in: db) }
    }

    /// Products in the order of their skus, from the one that follows `previous`.
    func items(after previous: String?, limit: Int) async throws -> [StockItem] {
        try await database.read { db in try StockTable.items(after: previous, limit: limit, in: db) }
    }

    /// Sets how many pieces of a product there are; makes the product if it is unknown.
    ///
    /// - Parameters:
    ///   - sku: The product.
    ///   - change: What to set.
    ///   - fencingToken: That of the lease under which it is set.
    /// - Returns: The product as it is then, and whether it is a new one.
    /// - Throws: `StaleFencingToken` when the product was changed under a later lease.
    func put(
        _ sku: String,
        _ change: StockChange,
        fencingToken: UInt64
    ) async throws -> (item: StockItem, isNew: Bool) {
        try await database.write { db in
            let existing = try StockTable.item(sku, in: db)
            guard let item = change.applied(to: existing, sku: sku) else {
                throw ImpossibleStock(sku: sku, quantity: change.quantity)
            }
            try StockTable.pass(fencingToken, for: sku, in: db)
            try StockTable.put(item, fence: fencingToken, in: db)
            return (item, existing == nil)
        }
    }

    /// Stores products if there are none yet.
    ///
    /// - Returns: Whether there were none.
    func open(with items: [StockItem]) async throws -> Bool {
        try await database.write { db in
            guard try StockTable.isEmpty(in: db) else { return false }
            for item in items { try StockTable.put(item, fence: 0, in: db) }
            return true
        }
    }
}

/// What was to be stored is no product.
struct ImpossibleStock: Error, Hashable, CustomStringConvertible {
    var sku: String
    var quantity: Int

    var description: String { "there cannot be \(quantity) pieces of the product '\(sku)'" }
}
