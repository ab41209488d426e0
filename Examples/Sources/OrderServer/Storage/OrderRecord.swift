import EventBus
import OrderService
import ShopEvents

/// All that is known about an order.
struct OrderRecord: Hashable, Sendable {
    /// A status that the order came to, and when.
    struct Step: Hashable, Sendable {
        var status: OrderStatus.Kind
        var at: EventTime
    }

    var order: Order
    var status: OrderStatus
    /// The statuses it came to, in order; the first is `placed`.
    var history: [Step]
    /// The request that placed it, and all that followed from it.
    var correlationID: CorrelationID

    /// The order as it was when it had just been placed.
    var asPlaced: OrderRecord {
        OrderRecord(order: order, status: .placed, history: Array(history.prefix(1)), correlationID: correlationID)
    }
}

/// What a list shows of an order.
struct OrderSummary: Codable, Hashable, Sendable {
    var id: String
    var status: OrderStatus.Kind
    var customerID: String
    var shipCountry: String
    var placedAt: String
    var total: Money
}

/// Some orders of a list, in the order in which they were placed.
struct OrderPage: Codable, Hashable, Sendable {
    var orders: [OrderSummary]
    /// What to give as `after` for those that follow; `nil` where these are the last.
    var next: String?
}

/// What became of a draft.
struct Placement: Hashable, Sendable {
    /// The order, as it was when it had just been placed.
    var record: OrderRecord
    /// Whether an earlier request with the same key placed it.
    var isReplay: Bool
}
