import EventBus
import FoundationEssentials
import OrderService
import PostgresDriver
import ServiceStorage
import ShopEvents

/// The statements of the order store. Each function runs in the caller's transaction.
enum OrderTable {
    // MARK: Writing

    /// Stores an order as placed.
    static func insert(_ order: Order, correlationID: CorrelationID, at time: EventTime, in db: SQLTransaction) throws {
        try db.execute(
            """
            INSERT INTO orders (id, customer_id, placed_at, ship_country, total_cents, status, correlation_id)
            VALUES ($1, $2, $3, $4, $5, 'placed', $6)
            """,
            [
                .text(order.id), .text(order.customerID), .text(order.placedAt), .text(order.shipCountry),
                .integer(order.items.total.cents), .text(correlationID.rawValue),
            ]
        )
        for (position, line) in order.items.enumerated() {
            try db.execute(
                """
                INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_cents, discount_basis_points)
                VALUES ($1, $2, $3, $4, $5, $6)
                """,
                [
                    .text(order.id), SQLValue(position), .text(line.sku), SQLValue(line.quantity),
                    .integer(line.unitPrice.cents), .integer(line.discount.basisPoints),
                ]
            )
        }
        try note(.placed, of: order.id, at: time, in: db)
    }

    /// Changes the status of a placed order.
    ///
    /// - Returns: `true` if it was placed. Otherwise nothing is changed.
    static func end(_ id: String, as status: OrderStatus, at time: EventTime, in db: SQLTransaction) throws -> Bool {
        let columns = StatusColumns(status)
        let changed = try db.execute(
            "UPDATE orders SET status = $1, reason = $2, skus = $3 WHERE id = $4 AND status = 'placed'",
            [.text(columns.status), SQLValue(columns.reason), SQLValue(try columns.skus), .text(id)]
        )
        guard changed == 1 else { return false }
        try note(status.kind, of: id, at: time, in: db)
        return true
    }

    private static func note(
        _ status: OrderStatus.Kind,
        of id: String,
        at time: EventTime,
        in db: SQLTransaction
    ) throws {
        try db.execute(
            "INSERT INTO order_history (order_id, status, at) VALUES ($1, $2, $3)",
            [.text(id), .text(status.rawValue), .integer(time.milliseconds)]
        )
    }

    // MARK: Reading

    /// Returns the status of an order, or `nil` if there is none with this id.
    static func status(of id: String, in db: SQLTransaction) throws -> OrderStatus? {
        try db.rows("SELECT status, reason, skus FROM orders WHERE id = $1", [.text(id)])
            .first.map { try StatusColumns($0).value }
    }

    /// Returns all data of an order, or `nil` if there is none with this id.
    ///
    /// - Parameter locking: `true` to keep other transactions from changing the order.
    static func record(of id: String, locking: Bool = false, in db: SQLTransaction) throws -> OrderRecord? {
        let rows = try db.rows(
            "SELECT \(orderColumns) FROM orders WHERE id = $1 \(locking ? db.forUpdate : "")",
            [.text(id)]
        )
        guard let row = rows.first else { return nil }
        let lines = try db.rows("SELECT * FROM order_lines WHERE order_id = $1 ORDER BY position", [.text(id)])
        let history = try db.rows(
            "SELECT status, at FROM order_history WHERE order_id = $1 ORDER BY status <> 'placed'",
            [.text(id)]
        )
        return OrderRecord(
            order: try order(row, lines: lines.map(line)),
            status: try StatusColumns(row).value,
            history: try history.map { row in
                OrderRecord.Step(
                    status: try kind(row.text("status")),
                    at: EventTime(milliseconds: Int64(try row.integer("at")))
                )
            },
            correlationID: CorrelationID(try row.text("correlation_id"))
        )
    }

    /// Returns every order with its status, in the order of placement.
    static func all(in db: SQLTransaction) throws -> [(order: Order, status: OrderStatus)] {
        var lines: [String: [OrderLine]] = [:]
        for row in try db.rows("SELECT * FROM order_lines ORDER BY order_id, position") {
            lines[try row.text("order_id"), default: []].append(try line(row))
        }
        return try db.rows("SELECT \(orderColumns) FROM orders ORDER BY id").map { row in
            (try order(row, lines: lines[row.text("id")] ?? []), try StatusColumns(row).value)
        }
    }

    /// Returns orders in the order of placement, after `previous`.
    static func summaries(
        withStatus status: OrderStatus.Kind?,
        after previous: String?,
        limit: Int,
        in db: SQLTransaction
    ) throws -> [OrderSummary] {
        let condition = status == nil ? "" : "AND status = $2"
        return try db.rows(
            """
            SELECT \(orderColumns) FROM orders WHERE id > $1 \(condition)
            ORDER BY id LIMIT $\(status == nil ? 2 : 3)
            """,
            [.text(previous ?? "")] + (status.map { [.text($0.rawValue)] } ?? []) + [SQLValue(limit)]
        ).map { row in
            try OrderSummary(
                id: row.text("id"),
                status: kind(row.text("status")),
                customerID: row.text("customer_id"),
                shipCountry: row.text("ship_country"),
                placedAt: row.text("placed_at"),
                total: Money(cents: Int64(row.integer("total_cents")))
            )
        }
    }

    private static let orderColumns =
        "id, customer_id, placed_at, ship_country, total_cents, status, reason, skus, correlation_id"

    private static func order(_ row: SQLRow, lines: [OrderLine]) throws -> Order {
        let order = try Order(
            id: row.text("id"),
            customerID: row.text("customer_id"),
            placedAt: row.text("placed_at"),
            shipCountry: row.text("ship_country"),
            items: lines
        )
        guard let order else { throw UnreadableOrder(problem: "order \(try row.text("id")) has no lines") }
        return order
    }

    private static func line(_ row: SQLRow) throws -> OrderLine {
        let line = try OrderLine(
            sku: row.text("sku"),
            quantity: row.integer("quantity"),
            unitPrice: Money(cents: Int64(row.integer("unit_price_cents"))),
            discount: Discount(basisPoints: Int64(row.integer("discount_basis_points"))) ?? .none
        )
        guard let line else {
            throw UnreadableOrder(
                problem: "line \(try row.integer("position")) of order \(try row.text("order_id"))"
            )
        }
        return line
    }

    fileprivate static func kind(_ text: String) throws -> OrderStatus.Kind {
        guard let kind = OrderStatus.Kind(rawValue: text) else {
            throw UnreadableOrder(problem: "there is no status \(text)")
        }
        return kind
    }
}

/// The error for database content that this version of the service cannot read.
struct UnreadableOrder: Error, CustomStringConvertible {
    var problem: String

    var description: String { "an order in the database cannot be read: \(problem)" }
}

/// A status as stored in the table.
private struct StatusColumns {
    let value: OrderStatus

    init(_ status: OrderStatus) {
        value = status
    }

    init(_ row: SQLRow) throws {
        switch try OrderTable.kind(row.text("status")) {
        case .placed: value = .placed
        case .confirmed: value = .confirmed
        case .cancelled:
            let reason = try row.text("reason")
            guard let reason = RejectionReason(rawValue: reason) else {
                throw UnreadableOrder(problem: "there is no reason \(reason)")
            }
            let skus = try row.text("skus")
            value = .cancelled(reason, skus: try JSONDecoder().decode([String].self, from: Data(skus.utf8)))
        }
    }

    var status: String { value.kind.rawValue }

    var reason: String? {
        if case .cancelled(let reason, _) = value { reason.rawValue } else { nil }
    }

    var skus: String? {
        get throws {
            guard case .cancelled(_, let skus) = value else { return nil }
            return String(decoding: try JSONEncoder().encode(skus), as: UTF8.self)
        }
    }
}
