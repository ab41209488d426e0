import InventoryService
import OrderService

/// What a run of the shop begins with.
struct ShopInput: Sendable {
    var orders: [Order]
    var stock: [StockItem]
    /// The lines of the files that are of no use, in words.
    var problems: [String] = []

    /// Reads the files that are given, and takes samples in place of those that are not.
    init(ordersFile: String?, stockFile: String?) throws {
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

    /// The input of a test.
    init(orders: [Order], stock: [StockItem]) {
        self.orders = orders
        self.stock = stock
    }
}
