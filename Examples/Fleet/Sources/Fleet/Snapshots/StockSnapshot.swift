import InventoryService
internal import ServiceStorage
import ShopEvents

/// The records of the inventory service.
struct StockSnapshot: Sendable {
    /// The number of items of each product.
    var levels: [String: Int]
    /// The decisions by order.
    var decisions: [String: StockDecision]

    init(_ db: SQLTransaction) throws {
        levels = try db.rows("SELECT sku, quantity FROM stock").reduce(into: [:]) {
            $0[try $1.text("sku")] = try $1.integer("quantity")
        }
        var lines: [String: [String: Int]] = [:]
        for row in try db.rows("SELECT order_id, sku, quantity FROM decision_lines") {
            lines[try row.text("order_id"), default: [:]][try row.text("sku")] = try row.integer("quantity")
        }
        decisions = try db.rows("SELECT order_id, outcome, reason FROM decisions").reduce(into: [:]) {
            let id = try $1.text("order_id")
            let lines = lines[id] ?? [:]
            switch (try $1.text("outcome"), $1.optionalText("reason").flatMap(RejectionReason.init(rawValue:))) {
            case ("reserved", nil): $0[id] = .reserved(lines)
            case ("rejected", let reason?): $0[id] = .rejected(reason, skus: lines.keys.sorted())
            default: throw FleetProblem("a decision makes no sense: \($1)")
            }
        }
    }
}
