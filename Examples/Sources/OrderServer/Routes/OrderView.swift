import EventBus
import OrderService
import ShopEvents

/// An order as a client sees it.
struct OrderView: Codable, Hashable, Sendable {
    /// A status that the order came to, and when.
    struct Step: Codable, Hashable, Sendable {
        var status: OrderStatus.Kind
        var at: EventTime
    }

    var id: String
    var status: OrderStatus.Kind
    /// Why it was cancelled.
    var reason: RejectionReason?
    /// The products that are the cause of that.
    var skus: [String]?
    var customerID: String
    var shipCountry: String
    var placedAt: String
    var items: [OrderLine]
    var total: Money
    var history: [Step]
    var correlationID: String

    /// What a client sees of `record`.
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
