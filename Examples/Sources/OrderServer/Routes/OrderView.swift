import EventBus
import OrderService
import ShopEvents

/// An order as clients see it.
struct OrderView: Codable, Hashable, Sendable {
    /// A status that the order reached, and the time.
    struct Step: Codable, Hashable, Sendable {
        var status: OrderStatus.Kind
        var at: EventTime
    }

    var id: String
    var status: OrderStatus.Kind
    /// The reason for the cancellation.
    var reason: RejectionReason?
    /// The products that caused the cancellation.
    var skus: [String]?
    var customerID: String
    var shipCountry: String
    var placedAt: String
    var items: [OrderLine]
    var total: Money
    var history: [Step]
    var correlationID: String

    /// Creates the public part of `record`.
    init(_ record: OrderRecord) {
        id = record.order.id
        status = record.status.kind
        if case .cancelled(let reason, let skus) = record.status {
            self.reason = reason
            self.skus = skus
        }
        customerID = record.order.customerID
        shipCountry = record.order.shipCountry
        placedAt = record.order.placedAt
        items = record.order.items
        total = record.order.items.total
        history = record.history.map { Step(status: $0.status, at: $0.at) }
        correlationID = record.correlationID.rawValue
    }
}
