internal import GRDB
import InventoryService
import ShopEvents

/// The records of the inventory service.
struct StockBook: Sendable {
    /// The number of items of each product.
    var levels: [String: Int]
    /// The decisions by order.
    var decisions: [String: StockDecision]

    init(_ db: Database) throws {
        levels = try Row.fetchAll(db, sql: "SELECT sku, quantity FROM stock").reduce(into: [:]) {
            $0[$1["sku"]] = $1["quantity"] as Int
        }
        var lines: [String: [String: Int]] = [:]
        let rows = try Row.fetchCursor(db, sql: "SELECT order_id, sku, quantity FROM decision_lines")
        while let row = try rows.next() {
            lines[row["order_id"], default: [:]][row["sku"]] = row["quantity"] as Int
        }
        decisions = try Row.fetchAll(db, sql: "SELECT order_id, outcome, reason FROM decisions").reduce(into: [:]) {
            let lines = lines[$1["order_id"]] ?? [:]
            switch ($1["outcome"] as String, ($1["reason"] as String?).flatMap(RejectionReason.init(rawValue:))) {
            case ("reserved", nil): $0[$1["order_id"]] = .reserved(lines)
            case ("rejected", let reason?): $0[$1["order_id"]] = .rejected(reason, skus: lines.keys.sorted())
            default: throw FleetProblem("a decision makes no sense: \($1)")
            }
        }
    }
}
