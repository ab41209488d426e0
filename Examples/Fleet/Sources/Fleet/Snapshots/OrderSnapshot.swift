import Foundation
import OrderService
internal import ServiceStorage
import ShopEvents

/// The records of the order service.
struct OrderSnapshot: Sendable {
    /// The orders and their statuses.
    var orders: [(order: Order, status: OrderStatus)]
    /// The orders by the idempotency keys with which they were placed.
    var keys: [String: String]
    /// The times at which orders ended, in milliseconds since 1970.
    var endedAt: [String: Int64]

    init(_ db: SQLTransaction) throws {
        var lines: [String: [OrderLine]] = [:]
        for row in try db.rows("SELECT * FROM order_lines ORDER BY order_id, position") {
            guard
                let discount = Discount(basisPoints: Int64(try row.integer("discount_basis_points"))),
                let line = try OrderLine(
                    sku: row.text("sku"),
                    quantity: row.integer("quantity"),
                    unitPrice: Money(cents: Int64(row.integer("unit_price_cents"))),
                    discount: discount
                )
            else { throw FleetProblem("a line of order \(try row.text("order_id")) makes no sense: \(row)") }
            lines[try row.text("order_id"), default: []].append(line)
        }
        orders = try db.rows("SELECT * FROM orders ORDER BY id").map { row in
            let order = try Order(
                id: row.text("id"),
                customerID: row.text("customer_id"),
                placedAt: row.text("placed_at"),
                shipCountry: row.text("ship_country"),
                items: lines[row.text("id")] ?? []
            )
            guard let order else { throw FleetProblem("an order has no lines: \(row)") }
            return (order, try Self.status(row))
        }
        keys = try db.rows("SELECT key, order_id FROM idempotency_keys").reduce(into: [:]) {
            $0[try $1.text("key")] = try $1.text("order_id")
        }
        endedAt = try db.rows("SELECT order_id, at FROM order_history WHERE status <> 'placed'")
            .reduce(into: [:]) { $0[try $1.text("order_id")] = Int64(try $1.integer("at")) }
    }

    private static func status(_ row: SQLRow) throws -> OrderStatus {
        let status = try row.text("status")
        switch status {
        case "placed": return .placed
        case "confirmed": return .confirmed
        case "cancelled":
            guard let reason = row.optionalText("reason").flatMap(RejectionReason.init(rawValue:)),
                let skus = row.optionalText("skus")
            else { break }
            return .cancelled(reason, skus: try JSONDecoder().decode([String].self, from: Data(skus.utf8)))
        default: break
        }
        throw FleetProblem("the status of an order makes no sense: \(row)")
    }
}
