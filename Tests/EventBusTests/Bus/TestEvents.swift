import EventBus

struct OrderCreated: Event, Equatable {
    static let topic: Topic = "order.created"
    var orderID: String
    var partitionKey: String? { orderID }
}

struct OrderConfirmed: Event, Equatable {
    static let topic: Topic = "order.confirmed"
    var orderID: String
}

struct GetQuote: RequestEvent {
    static let topic: Topic = "quote.requested"
    struct Reply: Codable, Equatable, Sendable { var price: Int }
    var sku: String
}

struct Broken: Error, CustomStringConvertible {
    var description: String { "broken" }
}
