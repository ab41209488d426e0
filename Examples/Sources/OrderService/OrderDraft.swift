public import EventBus
public import ShopEvents

/// What a customer asks for, before it has a number and a day: an ``Order`` to be.
public struct OrderDraft: Hashable, Sendable {
    /// Who asks for it.
    public let customerID: String
    /// Where it is to go.
    public let shipCountry: String
    /// What is wanted.
    public let items: [OrderLine]

    /// A draft; `nil` if it has no items, or more than ``Order/maximumLines``.
    public init?(customerID: String, shipCountry: String, items: [OrderLine]) {
        guard (1...Order.maximumLines).contains(items.count) else { return nil }
        self.customerID = customerID
        self.shipCountry = shipCountry
        self.items = items
    }

    /// What was asked for when this order was placed.
    public init(of order: Order) {
        self.customerID = order.customerID
        self.shipCountry = order.shipCountry
        self.items = order.items
    }

    /// The order that the draft becomes, under a new number that is greater than all before it.
    ///
    /// - Parameter time: When it is placed; its day is that of UTC.
    public func placed(at time: EventTime) -> Order {
        Order(self, id: EventID().rawValue, placedAt: String(time.rfc3339.prefix { $0 != "T" }))
    }
}
