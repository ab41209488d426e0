public import ShopEvents

/// What a customer wants.
public struct Order: Codable, Hashable, Sendable {
    /// The longest identifier, in UTF-8 bytes.
    public static let maximumIDLength = 100
    /// The most lines that an order can have.
    public static let maximumLines = 1_000

    /// The order's number; no two orders share one.
    public let id: String
    /// Who placed it.
    public let customerID: String
    /// The day on which it was placed, `YYYY-MM-DD`.
    public let placedAt: String
    /// Where it goes.
    public let shipCountry: String
    /// What is ordered.
    public let items: [OrderLine]

    /// An order; `nil` if it has no id or no items, or too much of either.
    public init?(id: String, customerID: String, placedAt: String, shipCountry: String, items: [OrderLine]) {
        guard Self.problem(id: id, items: items) == nil else { return nil }
        self.id = id
        self.customerID = customerID
        self.placedAt = placedAt
        self.shipCountry = shipCountry
        self.items = items
    }

    /// The order that a draft becomes; `id` has to be of an order's length.
    init(_ draft: OrderDraft, id: String, placedAt: String) {
        self.id = id
        self.customerID = draft.customerID
        self.placedAt = placedAt
        self.shipCountry = draft.shipCountry
        self.items = draft.items
    }

    // Written out, since the synthesized ones are not visible in the signature of `problem`.
    private enum CodingKeys: String, CodingKey {
        case id, customerID, placedAt, shipCountry, items
    }

    /// Decodes an order and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        customerID = try container.decode(String.self, forKey: .customerID)
        placedAt = try container.decode(String.self, forKey: .placedAt)
        shipCountry = try container.decode(String.self, forKey: .shipCountry)
        items = try container.decode([OrderLine].self, forKey: .items)
        if let (key, problem) = Self.problem(id: id, items: items) {
            throw DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: problem)
        }
    }

    /// The event that tells of it.
    public var created: OrderCreated {
        OrderCreated(orderID: id, customerID: customerID, items: items)
    }

    private static func problem(id: String, items: [OrderLine]) -> (CodingKeys, String)? {
        if id.isEmpty { return (.id, "the id is empty") }
        if id.utf8.count > maximumIDLength {
            return (.id, "the id has \(id.utf8.count) bytes; \(maximumIDLength) are allowed")
        }
        if items.isEmpty { return (.items, "the order has no items") }
        if items.count > maximumLines {
            return (.items, "the order has \(items.count) lines; \(maximumLines) are allowed")
        }
        return nil
    }
}

/// How far an order has come.
public enum OrderStatus: Codable, Hashable, Sendable {
    /// It is stored, and the inventory has not answered yet.
    case placed
    /// It will be delivered.
    case confirmed
    /// It will not be delivered, because of these products.
    case cancelled(RejectionReason, skus: [String])

    /// The status without what goes with it: its name.
    public enum Kind: String, CaseIterable, Codable, Hashable, Sendable {
        /// ``OrderStatus/placed``
        case placed
        /// ``OrderStatus/confirmed``
        case confirmed
        /// ``OrderStatus/cancelled(_:skus:)``
        case cancelled
    }

    /// Which status it is.
    public var kind: Kind {
        switch self {
        case .placed: .placed
        case .confirmed: .confirmed
        case .cancelled: .cancelled
        }
    }

    /// The event that tells that `order` has come to this; `nil` for one that is merely placed.
    public func event(for order: Order) -> (any OrderEvent)? {
        switch self {
        case .placed:
            nil
        case .confirmed:
            OrderConfirmed(orderID: order.id, customerID: order.customerID, total: order.items.total)
        case .cancelled(let reason, let skus):
            OrderCancelled(orderID: order.id, customerID: order.customerID, reason: reason, skus: skus)
        }
    }
}
