public import InventoryService
public import OrderService
import ShopEvents

/// A thousand plausible orders and a stock that is slightly too small for them. They are always the same.
public struct SampleData {
    /// The orders, in the order in which they are placed.
    public private(set) var orders: [Order] = []
    /// The opening stock.
    public private(set) var stock: [StockItem] = []

    private static let makes = ["Ash", "Birch", "Cedar", "Elm", "Larch", "Maple", "Oak", "Pine", "Walnut", "Willow"]
    private static let goods = ["bench", "bowl", "box", "chair", "shelf"]
    private static let countries = ["Austria", "Brazil", "Denmark", "France", "Germany", "Japan", "Norway", "Spain"]
    private static let discounts = [0, 0, 0, 500, 1_000, 1_500]

    /// Creates samples with this number of orders.
    public init(orderCount: Int = 1_000) {
        var generator = SeededGenerator(seed: 2_026)
        for (index, (make, good)) in Self.makes.flatMap({ make in Self.goods.map { (make, $0) } }).enumerated() {
            let item = StockItem(
                sku: "WD-" + Self.padded(index + 1, 3),
                name: "\(make) \(good)",
                quantity: Int.random(in: 100...260, using: &generator),
                unitPrice: Money(cents: Int64.random(in: 9...249, using: &generator) * 100 + 90)
            )
            if let item { stock.append(item) }
        }
        for index in 0..<orderCount {
            let items = stock.shuffled(using: &generator).prefix(Int.random(in: 1...4, using: &generator))
            let lines = items.compactMap { item in
                OrderLine(
                    sku: item.sku,
                    quantity: Int.random(in: 1...6, using: &generator),
                    unitPrice: item.unitPrice,
                    discount: Discount(basisPoints: Int64(Self.discounts.randomElement(using: &generator) ?? 0))
                        ?? .none
                )
            }
            let order = Order(
                id: "S" + Self.padded(index + 1, 5),
                customerID: "C" + Self.padded(Int.random(in: 1...250, using: &generator), 4),
                placedAt: "2026-\(Self.padded(1 + index * 12 / orderCount, 2))-\(Self.padded(1 + index % 28, 2))",
                shipCountry: Self.countries.randomElement(using: &generator) ?? "Austria",
                items: lines
            )
            if let order { orders.append(order) }
        }
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
