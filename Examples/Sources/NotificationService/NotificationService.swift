public import EventBus
import ShopEvents

/// A service that notifies every customer once of the outcome of an order.
public struct NotificationService: Sendable {
    /// The group in which the instances of this service share their work.
    public static let group = "notifications"

    /// The maximum number of products that a notice names.
    private static let maximumSKUs = 20

    private let bus: EventBus
    private let log: any NotificationLog

    /// Creates a service on `bus` that sends through `log`.
    public init(bus: EventBus, log: some NotificationLog) {
        self.bus = bus
        self.log = log
    }

    /// Subscribes to the outcomes of orders.
    @discardableResult
    public func subscribe(options: SubscriptionOptions = .init()) -> Subscription {
        let log = log
        return bus.subscribe(group: Self.group, name: "order-outcomes", options: options) { handlers in
            handlers.on(OrderConfirmed.self) { event, context in
                try await log.send(
                    Notice(
                        orderID: event.orderID,
                        customerID: event.customerID,
                        outcome: .confirmed,
                        text: "Your order \(event.orderID) over \(event.total) is on its way."
                    ),
                    handling: context
                )
            }
            handlers.on(OrderCancelled.self) { event, context in
                let cause =
                    switch event.reason {
                    case .outOfStock: "out of stock"
                    case .unknownProduct: "not in our range"
                    }
                try await log.send(
                    Notice(
                        orderID: event.orderID,
                        customerID: event.customerID,
                        outcome: .cancelled,
                        text: "Your order \(event.orderID) is cancelled: "
                            + "\(Self.list(event.skus)) \(event.skus.count == 1 ? "is" : "are") \(cause)."
                    ),
                    handling: context
                )
            }
        }
    }

    /// Returns the products as text, only the first ones if there are many.
    private static func list(_ skus: [String]) -> String {
        let named = skus.prefix(maximumSKUs).joined(separator: ", ")
        return skus.count > maximumSKUs ? "\(named) and \(skus.count - maximumSKUs) others" : named
    }
}
