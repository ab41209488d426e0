import Foundation
internal import GRDB
import OrderService
import ShopEvents

/// The records of the order service.
struct OrderBook: Sendable {
    /// The orders and their statuses.
    var orders: [(order: Order, status: OrderStatus)]
    /// The orders by the idempotency keys with which they were placed.
    var keys: [String: String]
    /// The times at which orders ended, in milliseconds since 1970.
    var endedAt: [String: Int64]

    init(_ db: Database) throws {
        var lines: [String: [OrderLine]] = [:]
        let rows = try Row.fetchCursor(db, sql: "SELECT * FROM order_lines ORDER BY order_id, position")
        while let row = try rows.next() {
            guard
                let discount = Discount(basisPoints: row["discount_basis_points"]),
                let line = OrderLine(
                    sku: row["sku"],
                    quantity: row["quantity"],
                    unitPrice: Money(cents: row["unit_price_cents"]),
                    discount: discount
                )
            else { throw FleetProblem("a line of order \(row["order_id"] as String) makes no sense: \(row)") }
            lines[row["order_id"], default: []].append(line)
        }
        orders = try Row.fetchAll(db, sql: "SELECT * FROM orders ORDER BY id").map { row in
            let order = Order(
                id: row["id"],
                customerID: row["customer_id"],
                placedAt: row["placed_at"],
                shipCountry: row["ship_country"],
                items: lines[row["id"]] ?? []
            )
            guard let order else { throw FleetProblem("an order has no lines: \(row)") }
            return (order, try Self.status(row))
        }
        keys = try Row.fetchAll(db, sql: "SELECT key, order_id FROM idempotency_keys").reduce(into: [:]) {
            $0[$1["key"]] = $1["order_id"] as String
        }
        endedAt = try Row.fetchAll(db, sql: "SELECT order_id, at FROM order_history WHERE status <> 'placed'")
            .reduce(into: [:]) { $0[$1["order_id"]] = $1["at"] as Int64 }
    }

    private static func status(_ row: Row) throws -> OrderStatus {
        let status: String = row["status"]
        switch status {
        case "placed": return .placed
        case "confirmed": return .confirmed
        case "cancelled":
            guard let reason = RejectionReason(rawValue: row["reason"]), let skus: String = row["skus"] else { break }
            return .cancelled(reason, skus: try JSONDecoder().decode([String].self, from: Data(skus.utf8)))
        default: break
        }
        throw FleetProblem("the status of an order makes no sense: \(row)")
    }
}
