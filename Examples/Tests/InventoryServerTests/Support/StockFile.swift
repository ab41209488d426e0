import Foundation
import GRDB
import InventoryService
import ShopEvents
import Testing

@testable import InventoryServer

/// A database file of its own, gone when this is.
final class StockFile: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "inventory-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// A connection pool on the file, as a process has one.
    func open() throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        let pool = try DatabasePool(path: path(of: "stock.sqlite"), configuration: configuration)
        var migrator = DatabaseMigrator()
        StockSchema.registerMigrations(in: &migrator)
        try migrator.migrate(pool)
        return pool
    }

    /// The path of a file beside the database.
    func path(of name: String) -> String {
        folder.appending(path: name).path
    }
}

extension StockItem {
    /// So many pieces of a product.
    static func sample(_ sku: String, _ quantity: Int) throws -> StockItem {
        try #require(StockItem(sku: sku, name: "\(sku) name", quantity: quantity, unitPrice: Money(cents: 1400)))
    }
}

extension OrderCreated {
    /// An order for so many pieces of each product.
    static func sample(_ id: String, _ quantities: [String: Int]) throws -> OrderCreated {
        let lines = try quantities.sorted { $0.key < $1.key }.map { sku, quantity in
            try #require(OrderLine(sku: sku, quantity: quantity, unitPrice: Money(cents: 1400)))
        }
        return OrderCreated(orderID: id, customerID: "VINET", items: lines)
    }
}
