import EventBus
import InventoryService
import ServiceStorage

extension SQLStockStore {
    /// Returns a product, or `nil` if there is none with this SKU.
    func item(_ sku: String) async throws -> StockItem? {
        try await database.read { db in try StockTable.item(sku, in: db) }
    }

    /// Returns products in the order of their SKUs, after `previous`.
    func items(after previous: String?, limit: Int) async throws -> [StockItem] {
        try await database.read { db in try StockTable.items(after: previous, limit: limit, in: db) }
    }

    /// Sets the number of items of a product, and creates the product if it is unknown.
    ///
    /// - Parameters:
    ///   - sku: The product.
    ///   - change: The change.
    ///   - fencingToken: The token of the lease under which it is made.
    /// - Returns: The product after the change, and whether it is new.
    /// - Throws: `StaleFencingToken` if the product was changed under a later lease.
    func put(
        _ sku: String,
        _ change: StockChange,
        fencingToken: UInt64
    ) async throws -> (item: StockItem, isNew: Bool) {
        try await database.write { db in
            let existing = try StockTable.item(sku, locking: true, in: db)
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
    /// - Returns: `true` if there were none.
    func open(with items: [StockItem]) async throws -> Bool {
        try await database.write { db in
            // Another replica may have found no products either.
            try db.lock("opening stock")
            guard try StockTable.isEmpty(in: db) else { return false }
            for item in items { try StockTable.put(item, fence: 0, in: db) }
            return true
        }
    }
}

/// The error for an invalid product.
struct ImpossibleStock: Error, Hashable, CustomStringConvertible {
    var sku: String
    var quantity: Int

    var description: String { "there cannot be \(quantity) pieces of the product '\(sku)'" }
}
