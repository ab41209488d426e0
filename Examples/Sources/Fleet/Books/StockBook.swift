internal import GRDB
import InventoryService
import ShopEvents

/// The stock and the decisions as the inventory service has them.
struct StockBook: Sendable {
    /// How many pieces of each product there are.
    var levels: [String: Int]
    /// What was decided, by order.
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
