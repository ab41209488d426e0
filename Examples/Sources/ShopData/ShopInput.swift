public import InventoryService
public import OrderService

/// What a run of the shop begins with.
public struct ShopInput: Sendable {
    /// The orders, in the order in which they are placed.
    public var orders: [Order]
    /// The opening stock.
    public var stock: [StockItem]
    /// The lines of the files that are of no use, in words.
    public var problems: [String] = []

    /// Reads the files that are given, and takes samples in place of those that are not.
    ///
    /// - Throws: ``FileProblem`` if one cannot be read.
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

    /// An input that is known already.
    public init(orders: [Order], stock: [StockItem]) {
        self.orders = orders
        self.stock = stock
    }
}
