public import EventBus
public import ShopEvents

/// An order of a customer.
public struct Order: Codable, Hashable, Sendable {
    /// The maximum length of an identifier, in UTF-8 bytes.
    public static let maximumIDLength = ShopRules.maximumIDLength
    /// The maximum number of lines of an order.
    public static let maximumLines = ShopRules.maximumLines

    /// The order's number, which is unique.
    public let id: String
    /// The customer who placed it.
    public let customerID: String
    /// The day on which it was placed, `YYYY-MM-DD`.
    public let placedAt: String
    /// The country of delivery.
    public let shipCountry: String
    /// The ordered products.
    public let items: [OrderLine]

    /// Creates an order. Returns `nil` if a field breaks a rule of `ShopRules`.
    public init?(id: String, customerID: String, placedAt: String, shipCountry: String, items: [OrderLine]) {
        guard Self.problem(id: id, texts: [customerID, shipCountry], items: items) == nil else { return nil }
        self.id = id
        self.customerID = customerID
        self.placedAt = placedAt
        self.shipCountry = shipCountry
        self.items = items
    }

    /// Creates the order of a draft. `id` must be a valid order number.
    init(_ draft: OrderDraft, id: String, placedAt: String) {
        self.id = id
        self.customerID = draft.customerID
        self.placedAt = placedAt
        self.shipCountry = draft.shipCountry
        self.items = draft.items
    }

    // Explicit, because synthesized keys are not visible in the signature of `problem`.
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
        if let (key, problem) = Self.problem(id: id, texts: [customerID, shipCountry], items: items) {
            throw DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: problem)
        }
    }

    /// The event that announces the order.
    public var created: OrderCreated {
        OrderCreated(orderID: id, customerID: customerID, items: items)
    }

    /// The id of ``created``, with which the order's story begins. An order that is announced again has the same id, so
    /// that an inbox recognizes the duplicate. The ids of the later events are derived from it.
    public var eventID: EventID { EventID(id) }

    private static func problem(id: String, texts: [String], items: [OrderLine]) -> (CodingKeys, String)? {
        if !ShopRules.isOrderID(id) {
            return (.id, "the id has to be 1 to \(maximumIDLength) printable ASCII characters without spaces")
        }
        if let index = texts.firstIndex(where: { !ShopRules.isText($0) }) {
            let bounds = ShopRules.textLengths
            return (
                index == 0 ? .customerID : .shipCountry,
                "the text has to have \(bounds.lowerBound) to \(bounds.upperBound) characters, and no control characters"
            )
        }
        if items.isEmpty { return (.items, "the order has no items") }
        if items.count > maximumLines {
            return (.items, "the order has \(items.count) lines; \(maximumLines) are allowed")
        }
        return nil
    }
}

/// The status of an order.
public enum OrderStatus: Codable, Hashable, Sendable {
    /// The order is stored, and the inventory has not answered yet.
    case placed
    /// The order will be delivered.
    case confirmed
    /// The order will not be delivered, because of these products.
    case cancelled(RejectionReason, skus: [String])

    /// The status without its associated values.
    public enum Kind: String, CaseIterable, Codable, Hashable, Sendable {
        /// ``OrderStatus/placed``
        case placed
        /// ``OrderStatus/confirmed``
        case confirmed
        /// ``OrderStatus/cancelled(_:skus:)``
        case cancelled
    }

    /// The kind of the status.
    public var kind: Kind {
        switch self {
        case .placed: .placed
        case .confirmed: .confirmed
        case .cancelled: .cancelled
        }
    }

    /// Returns the event that announces that `order` has reached this status, or `nil` for a placed order.
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
