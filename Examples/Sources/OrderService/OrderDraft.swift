public import EventBus
public import ShopEvents

/// A future ``Order`` that has no number and no day yet.
public struct OrderDraft: Hashable, Sendable {
    /// The customer.
    public let customerID: String
    /// The country of delivery.
    public let shipCountry: String
    /// The ordered products.
    public let items: [OrderLine]

    /// Creates a draft. Returns `nil` if it has no items, or more than ``Order/maximumLines``.
    public init?(customerID: String, shipCountry: String, items: [OrderLine]) {
        guard (1...Order.maximumLines).contains(items.count) else { return nil }
        self.customerID = customerID
        self.shipCountry = shipCountry
        self.items = items
    }

    /// Creates the draft from which this order was placed.
    public init(of order: Order) {
        self.customerID = order.customerID
        self.shipCountry = order.shipCountry
        self.items = order.items
    }

    /// Returns the order that the draft becomes, with a new number that is greater than all earlier ones.
    ///
    /// - Parameter time: The time of placement. Its day is that of UTC.
    public func placed(at time: EventTime) -> Order {
        Order(self, id: EventID().rawValue, placedAt: String(time.rfc3339.prefix { $0 != "T" }))
    }
}
