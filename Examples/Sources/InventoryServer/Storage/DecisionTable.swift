import EventBus
import InventoryService
import PostgresDriver
import ServiceStorage
import ShopEvents

/// The statements for decisions. Each function runs in the caller's transaction.
enum DecisionTable {
    /// Returns the decision about an order, or `nil` if there is none.
    static func decision(for orderID: String, in db: SQLTransaction) throws -> StockDecision? {
        let rows = try db.rows("SELECT outcome, reason FROM decisions WHERE order_id = $1", [.text(orderID)])
        guard let row = rows.first else { return nil }
        let lines = try db.rows(
            "SELECT sku, quantity FROM decision_lines WHERE order_id = $1 ORDER BY sku",
            [.text(orderID)]
        )
        return try decision(row, lines: lines.map { (try $0.text("sku"), try $0.integer("quantity")) })
    }

    /// Returns every decision by order.
    static func all(in db: SQLTransaction) throws -> [String: StockDecision] {
        var lines: [String: [(String, Int)]] = [:]
        for row in try db.rows("SELECT order_id, sku, quantity FROM decision_lines ORDER BY sku") {
            lines[try row.text("order_id"), default: []].append((try row.text("sku"), try row.integer("quantity")))
        }
        return try db.rows("SELECT order_id, outcome, reason FROM decisions").reduce(into: [:]) {
            let orderID = try $1.text("order_id")
            $0[orderID] = try decision($1, lines: lines[orderID] ?? [])
        }
    }

    /// Records the decision about an order without a decision.
    static func insert(_ decision: StockDecision, for orderID: String, at time: EventTime, in db: SQLTransaction) throws
    {
        let (outcome, reason, quantities): (String, RejectionReason?, [String: Int]) =
            switch decision {
            case .reserved(let quantities): ("reserved", nil, quantities)
            case .rejected(let reason, let skus):
                ("rejected", reason, Dictionary(skus.map { ($0, 0) }) { first, _ in first })
            }
        try db.execute(
            "INSERT INTO decisions (order_id, outcome, reason, decided_at) VALUES ($1, $2, $3, $4)",
            [.text(orderID), .text(outcome), SQLValue(reason?.rawValue), .integer(time.milliseconds)]
        )
        for (sku, quantity) in quantities {
            try db.execute(
                "INSERT INTO decision_lines (order_id, sku, quantity) VALUES ($1, $2, $3)",
                [.text(orderID), .text(sku), SQLValue(quantity)]
            )
        }
    }

    private static func decision(_ row: SQLRow, lines: [(sku: String, quantity: Int)]) throws -> StockDecision {
        guard let reason = row.optionalText("reason") else {
            return .reserved(Dictionary(uniqueKeysWithValues: lines.map { ($0.sku, $0.quantity) }))
        }
        guard let reason = RejectionReason(rawValue: reason) else {
            throw UnreadableStock(problem: "a decision has the unknown reason \(reason)")
        }
        return .rejected(reason, skus: lines.map(\.sku))
    }
}
