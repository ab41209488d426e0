public import EventBus

/// Where the inventory service keeps its stock and what it decided.
///
/// A store announces what it records (``StockDecision/event(for:)``): one in memory publishes the event before the call
/// returns, one in a database keeps it in the same transaction as the decision, for a relay to publish.
///
/// Reading and deciding are two steps: what keeps others out in between is the lock. Its fencing tokens keep out a
/// holder who was stopped for so long that another has the lock by now.
public protocol StockStore: Sendable {
    /// How many pieces of each of these products there are; unknown ones are left out.
    func levels(of skus: some Collection<String> & Sendable) async throws -> [String: Int]

    /// What was decided about an order; `nil` if nothing was.
    func decision(for orderID: String) async throws -> StockDecision?

    /// Records a decision, takes what it reserves out of the stock, and announces it, in one transaction. An order about
    /// which something was decided before keeps that decision.
    ///
    /// - Parameters:
    ///   - decision: What was decided.
    ///   - orderID: The order.
    ///   - fencingTokens: For each product the token of the lease under which the decision was made.
    ///   - context: The delivery that is being handled: a store with an inbox records it in the same transaction;
    ///     `nil` where it is none.
    /// - Returns: The decision that stands now.
    /// - Throws: ``StaleFencingToken`` when a product was changed under a later lease.
    func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision

    /// How many pieces of each product are left.
    func allLevels() async throws -> [String: Int]

    /// Every decision by order.
    func allDecisions() async throws -> [String: StockDecision]
}

/// The lease under which a decision was made had ended, and a later one has been used: read again, decide again.
public struct StaleFencingToken: Error, Hashable {
    /// The product.
    public var sku: String
    /// The token that was given.
    public var token: UInt64
    /// The token that was seen before.
    public var seen: UInt64

    /// A token that came too late.
    public init(sku: String, token: UInt64, seen: UInt64) {
        self.sku = sku
        self.token = token
        self.seen = seen
    }
}
