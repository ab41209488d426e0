public import InventoryService
public import OrderService

/// The input of a run of the shop.
public struct ShopInput: Sendable {
    /// The orders, in the order in which they are placed.
    public var orders: [Order]
    /// The opening stock.
    public var stock: [StockItem]
    /// The descriptions of the invalid lines in the files.
    public var problems: [String] = []

    /// Reads the given files, and uses samples in place of missing ones.
    ///
    /// - Throws: ``FileProblem`` if a file cannot be read.
    public init(ordersFile: String?, stockFile: String?) throws {
        let sample = SampleData()
        orders = sample.orders
        stock = sample.stock
        if let ordersFile {
            let lines = try JSONLines<Order>(file: ordersFile, uniqueBy: ("order", { $0.id }))
            orders = lines.values
            problems += lines.problems.map(\.description)
        }
        if let stockFile {
            let lines = try JSONLines<StockItem>(file: stockFile, uniqueBy: ("sku", { $0.sku }))
            stock = lines.values
            problems += lines.problems.map(\.description)
        }
    }

    /// Creates an input from existing values.
    public init(orders: [Order], stock: [StockItem]) {
        self.orders = orders
        self.stock = stock
    }
}
