import EventBus
import FoundationEssentials
import GRDB
import OrderService
import ShopEvents

/// The statements of the order store. Each function runs in the caller's transaction.
enum OrderTable {
    // MARK: Writing

    /// Stores an order as placed.
    static func insert(_ order: Order, correlationID: CorrelationID, at time: EventTime, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO orders (id, customer_id, placed_at, ship_country, total_cents, status, correlation_id)
                VALUES (?, ?, ?, ?, ?, 'placed', ?)
                """
        ).execute(
            arguments: [
                order.id, order.customerID, order.placedAt, order.shipCountry, order.items.total.cents,
                correlationID.rawValue,
            ]
        )
        let lines = try db.cachedStatement(
            sql: """
                INSERT INTO order_lines (order_id, position, sku, quantity, unit_price_cents, discount_basis_points)
                VALUES (?, ?, ?, ?, ?, ?)
                """
        )
        for (position, line) in order.items.enumerated() {
            try lines.execute(
                arguments: [
                    order.id, position, line.sku, line.quantity, line.unitPrice.cents, line.discount.basisPoints,
                ]
            )
        }
        try note(.placed, of: order.id, at: time, in: db)
    }

    /// Changes the status of a placed order.
    ///
    /// - Returns: `true` if it was placed. Otherwise nothing is changed.
    static func end(_ id: String, as status: OrderStatus, at time: EventTime, in db: Database) throws -> Bool {
        let columns = StatusColumns(status)
        try db.cachedStatement(
            sql: "UPDATE orders SET status = ?, reason = ?, skus = ? WHERE id = ? AND status = 'placed'"
        ).execute(arguments: [columns.status, columns.reason, try columns.skus, id])
        guard db.changesCount == 1 else { return false }
        try note(status.kind, of: id, at: time, in: db)
        return true
    }

    private static func note(_ status: OrderStatus.Kind, of id: String, at time: EventTime, in db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO order_history (order_id, status, at) VALUES (?, ?, ?)")
            .execute(arguments: [id, status.rawValue, time.milliseconds])
    }

    // MARK: Reading

    /// Returns the status of an order, or `nil` if there is none with this id.
    static func status(of id: String, in db: Database) throws -> OrderStatus? {
        try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT status, reason, skus FROM orders WHERE id = ?"),
            arguments: [id]
        ).map { try StatusColumns($0).value }
    }

    /// Returns all data of an order, or `nil` if there is none with this id.
    static func record(of id: String, in db: Database) throws -> OrderRecord? {
        let row = try Row.fetchOne(
            try db.cachedStatement(sql: "SELECT \(orderColumns) FROM orders WHERE id = ?"),
            arguments: [id]
        )
        guard let row else { return nil }
        let lines = try Row.fetchAll(
            try db.cachedStatement(sql: "SELECT * FROM order_lines WHERE order_id = ? ORDER BY position"),
            arguments: [id]
        )
        let history = try Row.fetchAll(
            try db.cachedStatement(
                sql: "SELECT status, at FROM order_history WHERE order_id = ? ORDER BY status <> 'placed'"
            ),
            arguments: [id]
        )
        return OrderRecord(
            order: try order(row, lines: lines.map(line)),
            status: try StatusColumns(row).value,
            history: try history.map { row in
                OrderRecord.Step(status: try kind(row["status"]), at: EventTime(milliseconds: row["at"]))
            },
            correlationID: CorrelationID(row["correlation_id"] as String)
        )
    }

    /// Returns every order with its status, in the order of placement.
    static func all(in db: Database) throws -> [(order: Order, status: OrderStatus)] {
        var lines: [String: [OrderLine]] = [:]
        let lineRows = try Row.fetchCursor(db, sql: "SELECT * FROM order_lines ORDER BY order_id, position")
        while let row = try lineRows.next() { lines[row["order_id"], default: []].append(try line(row)) }
        return try Row.fetchAll(db, sql: "SELECT \(orderColumns) FROM orders ORDER BY id").map { row in
            (try order(row, lines: lines[row["id"]] ?? []), try StatusColumns(row).value)
        }
    }

    /// Returns orders in the order of placement, after `previous`.
    static func summaries(
        withStatus status: OrderStatus.Kind?,
        after previous: String?,
        limit: Int,
        in db: Database
    ) throws -> [OrderSummary] {
        let condition = status == nil ? "" : "status = ? AND "
        var arguments: StatementArguments = status.map { [$0.rawValue] } ?? []
        arguments += [previous ?? "", limit]
        return try Row.fetchAll(
            try db.cachedStatement(
                sql: "SELECT \(orderColumns) FROM orders WHERE \(condition)id > ? ORDER BY id LIMIT ?"
            ),
            arguments: arguments
        ).map { row in
            OrderSummary(
                id: row["id"],
                status: try kind(row["status"]),
                customerID: row["customer_id"],
                shipCountry: row["ship_country"],
                placedAt: row["placed_at"],
                total: Money(cents: row["total_cents"])
            )
        }
    }

    private static let orderColumns =
        "id, customer_id, placed_at, ship_country, total_cents, status, reason, skus, correlation_id"

    private static func order(_ row: Row, lines: [OrderLine]) throws -> Order {
        let order = Order(
            id: row["id"],
            customerID: row["customer_id"],
            placedAt: row["placed_at"],
            shipCountry: row["ship_country"],
            items: lines
        )
        guard let order else { throw UnreadableOrder(problem: "order \(row["id"] as String) has no lines") }
        return order
    }

    private static func line(_ row: Row) throws -> OrderLine {
        let line = OrderLine(
            sku: row["sku"],
            quantity: row["quantity"],
            unitPrice: Money(cents: row["unit_price_cents"]),
            discount: Discount(basisPoints: row["discount_basis_points"]) ?? .none
        )
        guard let line else {
            throw UnreadableOrder(problem: "line \(row["position"] as Int) of order \(row["order_id"] as String)")
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

    init(_ row: Row) throws {
        switch try OrderTable.kind(row["status"]) {
        case .placed: value = .placed
        case .confirmed: value = .confirmed
        case .cancelled:
            let reason: String = row["reason"]
            guard let reason = RejectionReason(rawValue: reason) else {
                throw UnreadableOrder(problem: "there is no reason \(reason)")
            }
            let skus: String = row["skus"]
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
