import GRDB
import InventoryService
import ShopEvents

/// The statements for products. Each function runs in the caller's transaction.
enum StockTable {
    // MARK: Reading

    /// Returns a product, or `nil` if there is none with this SKU.
    static func item(_ sku: String, in db: Database) throws -> StockItem? {
        try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT \(columns) FROM stock WHERE sku = ?"),
            arguments: [sku]
        ).map(item)
    }

    /// Returns products in the order of their SKUs, after `previous`.
    static func items(after previous: String?, limit: Int, in db: Database) throws -> [StockItem] {
        try Row.fetchAll(
            try db.cachedStatement(sql: "SELECT \(columns) FROM stock WHERE sku > ? ORDER BY sku LIMIT ?"),
            arguments: [previous ?? "", limit]
        ).map(item)
    }

    /// Returns the number of items of a product, or `nil` if it is unknown.
    static func quantity(of sku: String, in db: Database) throws -> Int? {
        try Int.fetchOne(
            try db.cachedStatement(sql: "SELECT quantity FROM stock WHERE sku = ?"),
            arguments: [sku]
        )
    }

    /// Returns the number of items of each product.
    static func quantities(in db: Database) throws -> [String: Int] {
        let rows = try Row.fetchAll(db, sql: "SELECT sku, quantity FROM stock")
        return Dictionary(uniqueKeysWithValues: rows.map { ($0["sku"], $0["quantity"]) })
    }

    /// Returns a Boolean value indicating whether there are no products.
    static func isEmpty(in db: Database) throws -> Bool {
        try Int.fetchOne(db, sql: "SELECT 1 FROM stock LIMIT 1") == nil
    }

    // MARK: Changing

    /// Lets the holder of a lease change a product, and excludes holders of earlier leases from then on.
    ///
    /// An unknown product has no fence and admits everyone: there is nothing to protect, and orders could name any
    /// number of unknown products.
    ///
    /// - Throws: `StaleFencingToken` if the product was changed under a later lease.
    static func pass(_ token: UInt64, for sku: String, in db: Database) throws {
        let fence = try Int64.fetchOne(
            try db.cachedStatement(sql: "SELECT fence FROM stock WHERE sku = ?"),
            arguments: [sku]
        )
        guard let fence else { return }
        let seen = UInt64(bitPattern: fence)
        if token < seen { throw StaleFencingToken(sku: sku, token: token, seen: seen) }
        if token == seen { return }
        try db.cachedStatement(sql: "UPDATE stock SET fence = ? WHERE sku = ?")
            .execute(arguments: [Int64(bitPattern: token), sku])
    }

    /// Removes items from the stock.
    ///
    /// - Throws: ``UnknownProduct``; a `DatabaseError` of GRDB if there are not enough.
    static func take(_ quantity: Int, of sku: String, in db: Database) throws {
        try db.cachedStatement(sql: "UPDATE stock SET quantity = quantity - ? WHERE sku = ?")
            .execute(arguments: [quantity, sku])
        guard db.changesCount == 1 else { throw UnknownProduct(sku: sku) }
    }

    /// Stores a product, replacing the one with the same SKU.
    ///
    /// - Parameters:
    ///   - item: The product.
    ///   - fence: The token of the lease under which it is stored, or zero without a lease.
    static func put(_ item: StockItem, fence: UInt64, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO stock (sku, name, quantity, unit_price_cents, fence) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (sku) DO UPDATE SET
                    name = excluded.name, quantity = excluded.quantity,
                    unit_price_cents = excluded.unit_price_cents, fence = excluded.fence
                """
        ).execute(
            arguments: [item.sku, item.name, item.quantity, item.unitPrice.cents, Int64(bitPattern: fence)]
        )
    }

    private static let columns = "sku, name, quantity, unit_price_cents"

    private static func item(_ row: Row) throws -> StockItem {
        let item = StockItem(
            sku: row["sku"],
            name: row["name"],
            quantity: row["quantity"],
            unitPrice: Money(cents: row["unit_price_cents"])
        )
        guard let item else { throw UnreadableStock(problem: "\(row["sku"] as String) has an impossible quantity") }
        return item
    }
}

/// The error for removing items of an unknown product.
struct UnknownProduct: Error, Hashable, CustomStringConvertible {
    var sku: String

    var description: String { "there is no product \(sku) to take anything of" }
}

/// The error for database content that this version of the service cannot read.
struct UnreadableStock: Error, Hashable, CustomStringConvertible {
    var problem: String

    var description: String { "the stock in the database cannot be read: \(problem)" }
}
