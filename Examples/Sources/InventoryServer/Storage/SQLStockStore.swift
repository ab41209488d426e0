import EventBus
import InventoryService
import Logging
import Metrics
import ServiceStorage
import ShopEvents

/// Stock in a database, which several processes may share: on one machine an SQLite database, on several PostgreSQL.
///
/// All changes of a decision are in one transaction: the record of the handled event, the fences of the products, the
/// reserved items, the decision, and the event that announces it. Any of them alone would be inconsistent after a
/// crash.
struct SQLStockStore: StockStore {
    let database: SQLDatabase
    private let inbox: SQLInbox
    private let outbox: SQLOutbox
    private let duplicatesSuppressed: Counter

    /// Creates a store in `database`. `bus` encodes its events, and an outbox stores them.
    init(database: SQLDatabase, bus: EventBus) {
        self.database = database
        self.inbox = SQLInbox(database)
        self.outbox = SQLOutbox(database, bus: bus)
        self.duplicatesSuppressed = Counter(label: "shop.duplicates_suppressed")
    }

    /// Returns the number of items of each of these products.
    func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int] {
        try await database.read { db in
            try skus.reduce(into: [:]) { $0[$1] = try StockTable.quantity(of: $1, in: db) }
        }
    }

    /// Returns the decision about an order.
    func decision(for orderID: String) async throws -> StockDecision? {
        try await database.read { db in try DecisionTable.decision(for: orderID, in: db) }
    }

    /// Records a decision, removes the reserved items from the stock, and announces the decision, in one transaction.
    func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision {
        let recorded = try await database.write { db in
            guard let context else { return try record(decision, for: orderID, fencingTokens, in: db) }
            let first = try inbox.performOnce(context.inboxKey, in: db) { db in
                try record(decision, for: orderID, fencingTokens, in: db)
            }
            if let first { return first }
            guard let stands = try DecisionTable.decision(for: orderID, in: db) else {
                throw ReusedEventID(eventID: context.id, orderID: orderID)
            }
            return Recorded(decision: stands, isNew: false)
        }
        note(recorded, for: orderID, handling: context)
        return recorded.decision
    }

    /// Returns the remaining number of items of each product.
    func allLevels() async throws -> [String: Int] {
        try await database.read { db in try StockTable.quantities(in: db) }
    }

    /// Returns every decision by order.
    func allDecisions() async throws -> [String: StockDecision] {
        try await database.read { db in try DecisionTable.all(in: db) }
    }

    private struct Recorded: Sendable {
        var decision: StockDecision
        var isNew: Bool
    }

    private func record(
        _ decision: StockDecision,
        for orderID: String,
        _ fencingTokens: [String: UInt64],
        in db: SQLTransaction
    ) throws -> Recorded {
        // The transaction that recorded it has also announced it.
        if let stands = try DecisionTable.decision(for: orderID, in: db) {
            return Recorded(decision: stands, isNew: false)
        }
        // In one order in all transactions, because they lock the rows of the products.
        for (sku, token) in fencingTokens.sorted(by: { $0.key < $1.key }) {
            try StockTable.pass(token, for: sku, in: db)
        }
        if case .reserved(let quantities) = decision {
            for (sku, quantity) in quantities.sorted(by: { $0.key < $1.key }) {
                try StockTable.take(quantity, of: sku, in: db)
            }
        }
        try DecisionTable.insert(decision, for: orderID, at: .now(), in: db)
        try outbox.publish(decision.event(for: orderID), options: PublishOptions(requiresSubscriber: true), in: db)
        return Recorded(decision: decision, isNew: true)
    }

    private func note(_ recorded: Recorded, for orderID: String, handling context: EventContext?) {
        guard let context else { return }
        if recorded.isNew {
            context.logger.info("handled", metadata: ["order-id": "\(orderID)"])
        } else {
            duplicatesSuppressed.increment()
            context.logger.info("duplicate suppressed", metadata: ["order-id": "\(orderID)"])
        }
    }
}

/// An event was handled before, but its order has no decision. Its publisher has used one id for the events of two
/// orders.
struct ReusedEventID: Error, NonRetryable, Hashable, CustomStringConvertible {
    var eventID: EventID
    var orderID: String

    var description: String {
        "event \(eventID) was handled before, for another order than \(orderID): publish each under an id of its own"
    }
}
