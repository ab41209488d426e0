import EventBus
import OrderService
import ShopEvents

/// All data of an order.
struct OrderRecord: Hashable, Sendable {
    /// A status that the order reached, and the time.
    struct Step: Hashable, Sendable {
        var status: OrderStatus.Kind
        var at: EventTime
    }

    var order: Order
    var status: OrderStatus
    /// The statuses in order. The first is `placed`.
    var history: [Step]
    /// The correlation id of the request that placed the order and everything that followed.
    var correlationID: CorrelationID

    /// The order in the state in which it was placed.
    var asPlaced: OrderRecord {
        OrderRecord(order: order, status: .placed, history: Array(history.prefix(1)), correlationID: correlationID)
    }
}

/// The entry for an order in a list.
struct OrderSummary: Codable, Hashable, Sendable {
    var id: String
    var status: OrderStatus.Kind
    var customerID: String
    var shipCountry: String
    var placedAt: String
    var total: Money
}

/// A page of a list of orders, in the order in which they were placed.
struct OrderPage: Codable, Hashable, Sendable {
    var orders: [OrderSummary]
    /// The value of `after` for the next page, or `nil` on the last page.
    var next: String?
}

/// The outcome of placing a draft.
struct Placement: Hashable, Sendable {
    /// The order in the state in which it was placed.
    var record: OrderRecord
    /// A Boolean value indicating whether an earlier request with the same key placed it.
    var isReplay: Bool
}
