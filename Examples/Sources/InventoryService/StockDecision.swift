public import ShopEvents

/// What the inventory has decided about an order, once and for all.
public enum StockDecision: Codable, Hashable, Sendable {
    /// So many pieces of each product are put aside.
    case reserved([String: Int])
    /// Nothing is put aside, because of these products.
    case rejected(RejectionReason, skus: [String])

    /// Decides about an order: all of it or nothing.
    ///
    /// - Parameters:
    ///   - wanted: How many pieces of each product are ordered.
    ///   - levels: How many there are; what is not among them is no product of the shop.
    public init(wanted: [String: Int], levels: [String: Int]) {
        let unknown = wanted.keys.filter { levels[$0] == nil }
        let short = wanted.filter { sku, quantity in quantity > levels[sku, default: 0] }.keys
        if !unknown.isEmpty {
            self = .rejected(.unknownProduct, skus: unknown.sorted())
        } else if !short.isEmpty {
            self = .rejected(.outOfStock, skus: short.sorted())
        } else {
            self = .reserved(wanted)
        }
    }

    /// The event that tells what was decided about an order.
    public func event(for orderID: String) -> any OrderEvent {
        switch self {
        case .reserved(let quantities): StockReserved(orderID: orderID, quantities: quantities)
        case .rejected(let reason, let skus): StockRejected(orderID: orderID, reason: reason, skus: skus)
        }
    }
}
