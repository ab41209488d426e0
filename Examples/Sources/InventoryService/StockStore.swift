public import EventBus

/// The storage of the inventory service's stock and decisions.
///
/// A store announces the decisions that it records (``StockDecision/event(for:)``). An in-memory store publishes the
/// event before the call returns. A store in a database adds it to the transaction of the decision, for a relay to
/// publish.
///
/// Reading and deciding are two steps. A lock excludes others in between. Its fencing tokens exclude a holder that was
/// suspended for so long that another one has the lock.
public protocol StockStore: Sendable {
    /// Returns the number of items of each of these products. Unknown products are left out.
    func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int]

    /// Returns the decision about an order, or `nil` if there is none.
    func decision(for orderID: String) async throws -> StockDecision?

    /// Records a decision, removes the reserved items from the stock, and announces the decision, in one transaction.
    /// An order that has a decision keeps it.
    ///
    /// - Parameters:
    ///   - decision: The decision.
    ///   - orderID: The order.
    ///   - fencingTokens: The token of the lease under which the decision was made, for each product.
    ///   - context: The delivery that is being handled, which a store with an inbox records in the same transaction, or
    ///     `nil`.
    /// - Returns: The decision that is valid now.
    /// - Throws: ``StaleFencingToken`` if a product was changed under a later lease.
    func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision

    /// Returns the remaining number of items of each product.
    func allLevels() async throws -> [String: Int]

    /// Returns every decision by order.
    func allDecisions() async throws -> [String: StockDecision]
}

/// The error for a decision under a lease that has ended while a later one was used. Read the stock and decide again.
public struct StaleFencingToken: Error, Hashable {
    /// The product.
    public var sku: String
    /// The token of the decision.
    public var token: UInt64
    /// The greater token that was used before.
    public var seen: UInt64

    /// Creates the error for a token that is too old.
    public init(sku: String, token: UInt64, seen: UInt64) {
        self.sku = sku
        self.token = token
        self.seen = seen
    }
}
