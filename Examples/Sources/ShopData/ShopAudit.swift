public import InventoryService
public import NotificationService
public import OrderService
public import ShopEvents

/// An audit of the books of the three services, which have to agree.
public struct ShopAudit: Sendable {
    /// The orders and their statuses in the order service.
    public var orders: [(order: Order, status: OrderStatus)]
    /// The decisions of the inventory, by order.
    public var decisions: [String: StockDecision]
    /// The stock before the run, by product.
    public var openingStock: [String: Int]
    /// The current stock, by product.
    public var remainingStock: [String: Int]
    /// The notices to customers.
    public var notifications: [Notice]
    /// The number of dead letters.
    public var deadLetters: Int

    /// Creates an audit of these books.
    public init(
        orders: [(order: Order, status: OrderStatus)],
        decisions: [String: StockDecision],
        openingStock: [String: Int],
        remainingStock: [String: Int],
        notifications: [Notice],
        deadLetters: Int
    ) {
        self.orders = orders
        self.decisions = decisions
        self.openingStock = openingStock
        self.remainingStock = remainingStock
        self.notifications = notifications
        self.deadLetters = deadLetters
    }

    /// The number of items of each product in confirmed orders.
    public var sold: [String: Int] {
        orders.filter { $0.status == .confirmed }.reduce(into: [:]) { sold, entry in
            sold.merge(entry.order.items.quantities, uniquingKeysWith: +)
        }
    }

    /// The number of items that were promised and never existed.
    public var oversold: Int {
        sold.reduce(0) { $0 + max(0, $1.value - openingStock[$1.key, default: 0]) }
    }

    /// The total of the confirmed orders.
    public var revenue: Money {
        orders.filter { $0.status == .confirmed }.reduce(.zero) { $0 + $1.order.items.total }
    }

    /// The violations, one on each line. It is empty if the books agree.
    public var violations: [String] {
        var violations: [String] = []
        func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
            if !holds { violations.append(otherwise()) }
        }
        let open = orders.filter { $0.status == .placed }.map(\.order.id).sorted()
        check(open.isEmpty, "\(open.count) orders have no outcome: \(Self.listed(open))")
        let notified = Dictionary(grouping: notifications, by: \.orderID)
        let outcomes = orders.count - open.count
        check(
            notifications.count == outcomes,
            "\(outcomes) outcomes led to \(notifications.count) notifications"
        )
        let wronglyTold = orders.filter { entry in
            let told = notified[entry.order.id, default: []].map(\.outcome)
            return switch entry.status {
            case .placed: !told.isEmpty
            case .confirmed: told != [.confirmed]
            case .cancelled: told != [.cancelled]
            }
        }.map(\.order.id).sorted()
        check(wronglyTold.isEmpty, "customers were not told once what became of: \(Self.listed(wronglyTold))")
        let disputed = orders.filter { entry in
            switch (entry.status, decisions[entry.order.id]) {
            case (.confirmed, .reserved(let quantities)): quantities != entry.order.items.quantities
            case (.cancelled(let reason, let skus), .rejected(let answer, let causes)):
                reason != answer || skus != causes
            case (.placed, _): false
            default: true
            }
        }.map(\.order.id).sorted()
        check(disputed.isEmpty, "orders and inventory disagree on: \(Self.listed(disputed))")
        check(oversold == 0, "\(oversold) pieces were oversold")
        let sold = sold
        for sku in Set(openingStock.keys).union(remainingStock.keys).union(sold.keys).sorted() {
            let (before, after) = (openingStock[sku, default: 0], remainingStock[sku, default: 0])
            let reserved = sold[sku, default: 0]
            check(
                before == after + reserved,
                "\(sku): \(before) before is not \(after) remaining and \(reserved) reserved"
            )
        }
        check(deadLetters == 0, "\(deadLetters) dead letters are left")
        return violations
    }

    private static func listed(_ ids: [String]) -> String {
        ids.prefix(10).joined(separator: ", ") + (ids.count > 10 ? ", …" : "")
    }
}
