import Foundation
import GRDB
import InventoryService
import ShopEvents
import Testing

@testable import InventoryServer

/// A separate database file, which is deleted with this object.
final class StockFile: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "inventory-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// Opens a connection pool on the file, as a process does.
    func open() throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        let pool = try DatabasePool(path: path(of: "stock.sqlite"), configuration: configuration)
        var migrator = DatabaseMigrator()
        StockSchema.registerMigrations(in: &migrator)
        try migrator.migrate(pool)
        return pool
    }

    /// Returns the path of a file in the folder of the database.
    func path(of name: String) -> String {
        folder.appending(path: name).path
    }
}

extension StockItem {
    /// Returns a number of items of a product.
    static func sample(_ sku: String, _ quantity: Int) throws -> StockItem {
        try #require(StockItem(sku: sku, name: "\(sku) name", quantity: quantity, unitPrice: Money(cents: 1400)))
    }
}

extension OrderCreated {
    /// Returns an order with a number of items of each product.
    static func sample(_ id: String, _ quantities: [String: Int]) throws -> OrderCreated {
        let lines = try quantities.sorted { $0.key < $1.key }.map { sku, quantity in
            try #require(OrderLine(sku: sku, quantity: quantity, unitPrice: Money(cents: 1400)))
        }
        return OrderCreated(orderID: id, customerID: "VINET", items: lines)
    }
}
