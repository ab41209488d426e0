public import ShopEvents

/// The final decision of the inventory about an order.
public enum StockDecision: Codable, Hashable, Sendable {
    /// These numbers of items are reserved.
    case reserved([String: Int])
    /// Nothing is reserved, because of these products.
    case rejected(RejectionReason, skus: [String])

    /// Decides about an order as a whole.
    ///
    /// - Parameters:
    ///   - wanted: The ordered number of items of each product.
    ///   - levels: The number of items in stock. A product without a level is unknown.
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

    /// Returns the event that announces the decision about an order.
    public func event(for orderID: String) -> any OrderEvent {
        switch self {
        case .reserved(let quantities): StockReserved(orderID: orderID, quantities: quantities)
        case .rejected(let reason, let skus): StockRejected(orderID: orderID, reason: reason, skus: skus)
        }
    }
}
