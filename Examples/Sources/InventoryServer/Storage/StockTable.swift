import InventoryService
import PostgresDriver
import ServiceStorage
import ShopEvents

/// The statements for products. Each function runs in the caller's transaction.
enum StockTable {
    // MARK: Reading

    /// Returns a product, or `nil` if there is none with this SKU.
    ///
    /// - Parameter locking: `true` to keep other transactions from changing it.
    static func item(_ sku: String, locking: Bool = false, in db: SQLTransaction) throws -> StockItem? {
        try db.rows("SELECT \(columns) FROM stock WHERE sku = $1 \(locking ? db.forUpdate : "")", [.text(sku)])
            .first.map(item)
    }

    /// Returns products in the order of their SKUs, after `previous`.
    static func items(after previous: String?, limit: Int, in db: SQLTransaction) throws -> [StockItem] {
        try db.rows(
            "SELECT \(columns) FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2",
            [.text(previous ?? ""), SQLValue(limit)]
        ).map(item)
    }

    /// Returns the number of items of a product, or `nil` if it is unknown.
    static func quantity(of sku: String, in db: SQLTransaction) throws -> Int? {
        try db.rows("SELECT quantity FROM stock WHERE sku = $1", [.text(sku)]).first?.integer("quantity")
    }

    /// Returns the number of items of each product.
    static func quantities(in db: SQLTransaction) throws -> [String: Int] {
        try db.rows("SELECT sku, quantity FROM stock").reduce(into: [:]) {
            $0[try $1.text("sku")] = try $1.integer("quantity")
        }
    }

    /// Returns a Boolean value indicating whether there are no products.
    static func isEmpty(in db: SQLTransaction) throws -> Bool {
        try db.rows("SELECT 1 FROM stock LIMIT 1").isEmpty
    }

    // MARK: Changing

    /// Lets the holder of a lease change a product, and excludes holders of earlier leases from then on.
    ///
    /// An unknown product has no fence and admits everyone: there is nothing to protect, and orders could name any
    /// number of unknown products.
    ///
    /// - Throws: `StaleFencingToken` if the product was changed under a later lease.
    static func pass(_ token: UInt64, for sku: String, in db: SQLTransaction) throws {
        let rows = try db.rows("SELECT fence FROM stock WHERE sku = $1 \(db.forUpdate)", [.text(sku)])
        guard let fence = try rows.first?.integer("fence") else { return }
        let seen = UInt64(bitPattern: Int64(fence))
        if token < seen { throw StaleFencingToken(sku: sku, token: token, seen: seen) }
        if token == seen { return }
        try db.execute(
            "UPDATE stock SET fence = $1 WHERE sku = $2",
            [.integer(Int64(bitPattern: token)), .text(sku)]
        )
    }

    /// Removes items from the stock.
    ///
    /// - Throws: ``UnknownProduct``; an error of the database if there are not enough.
    static func take(_ quantity: Int, of sku: String, in db: SQLTransaction) throws {
        let changed = try db.execute(
            "UPDATE stock SET quantity = quantity - $1 WHERE sku = $2",
            [SQLValue(quantity), .text(sku)]
        )
        guard changed == 1 else { throw UnknownProduct(sku: sku) }
    }

    /// Stores a product, replacing the one with the same SKU.
    ///
    /// - Parameters:
    ///   - item: The product.
    ///   - fence: The token of the lease under which it is stored, or zero without a lease.
    static func put(_ item: StockItem, fence: UInt64, in db: SQLTransaction) throws {
        try db.execute(
            """
            INSERT INTO stock (sku, name, quantity, unit_price_cents, fence) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (sku) DO UPDATE SET
                name = excluded.name, quantity = excluded.quantity,
                unit_price_cents = excluded.unit_price_cents, fence = excluded.fence
            """,
            [
                .text(item.sku), .text(item.name), SQLValue(item.quantity), .integer(item.unitPrice.cents),
                .integer(Int64(bitPattern: fence)),
            ]
        )
    }

    private static let columns = "sku, name, quantity, unit_price_cents"

    private static func item(_ row: SQLRow) throws -> StockItem {
        let item = try StockItem(
            sku: row.text("sku"),
            name: row.text("name"),
            quantity: row.integer("quantity"),
            unitPrice: Money(cents: Int64(row.integer("unit_price_cents")))
        )
        guard let item else { throw UnreadableStock(problem: "\(try row.text("sku")) has an impossible quantity") }
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
