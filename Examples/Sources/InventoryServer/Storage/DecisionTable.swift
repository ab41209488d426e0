import EventBus
import GRDB
import InventoryService
import ShopEvents

/// The statements for decisions. Each function runs in the caller's transaction.
enum DecisionTable {
    /// Returns the decision about an order, or `nil` if there is none.
    static func decision(for orderID: String, in db: Database) throws -> StockDecision? {
        let row = try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT outcome, reason FROM decisions WHERE order_id = ?"),
            arguments: [orderID]
        )
        guard let row else { return nil }
        let lines = try Row.fetchAll(
            try db.cachedStatement(sql: "SELECT sku, quantity FROM decision_lines WHERE order_id = ? ORDER BY sku"),
            arguments: [orderID]
        )
        return try decision(row, lines: lines.map { ($0["sku"], $0["quantity"]) })
    }

    /// Returns every decision by order.
    static func all(in db: Database) throws -> [String: StockDecision] {
        var lines: [String: [(String, Int)]] = [:]
        let lineRows = try Row.fetchCursor(db, sql: "SELECT order_id, sku, quantity FROM decision_lines ORDER BY sku")
        while let row = try lineRows.next() {
            lines[row["order_id"], default: []].append((row["sku"], row["quantity"]))
        }
        return try Row.fetchAll(db, sql: "SELECT order_id, outcome, reason FROM decisions").reduce(into: [:]) {
            let orderID: String = $1["order_id"]
            $0[orderID] = try decision($1, lines: lines[orderID] ?? [])
        }
    }

    /// Records the decision about an order without a decision.
    static func insert(_ decision: StockDecision, for orderID: String, at time: EventTime, in db: Database) throws {
        let (outcome, reason, quantities): (String, RejectionReason?, [String: Int]) =
            switch decision {
            case .reserved(let quantities): ("reserved", nil, quantities)
            case .rejected(let reason, let skus):
                ("rejected", reason, Dictionary(skus.map { ($0, 0) }) { first, _ in first })
            }
        try db.cachedStatement(
            sql: "INSERT INTO decisions (order_id, outcome, reason, decided_at) VALUES (?, ?, ?, ?)"
        ).execute(arguments: [orderID, outcome, reason?.rawValue, time.milliseconds])
        let lines = try db.cachedStatement(
            sql: "INSERT INTO decision_lines (order_id, sku, quantity) VALUES (?, ?, ?)"
        )
        for (sku, quantity) in quantities { try lines.execute(arguments: [orderID, sku, quantity]) }
    }

    private static func decision(_ row: Row, lines: [(sku: String, quantity: Int)]) throws -> StockDecision {
        guard let reason: String = row["reason"] else {
            return .reserved(Dictionary(uniqueKeysWithValues: lines.map { ($0.sku, $0.quantity) }))
        }
        guard let reason = RejectionReason(rawValue: reason) else {
            throw UnreadableStock(problem: "a decision has the unknown reason \(reason)")
        }
        return .rejected(reason, skus: lines.map(\.sku))
    }
}
