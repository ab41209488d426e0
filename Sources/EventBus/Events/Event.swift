/// A typed, past-tense value that one part of a system tells the others: `OrderCreated`, `StockReserved`.
///
/// ```swift
/// struct OrderCreated: Event {
///     static let topic: Topic = "order.created"
///     var orderID: String
/// }
/// ```
///
/// The type's JSON form is a contract between services. Add optional properties freely; raise ``version`` when an old
/// reader can no longer make sense of a new event.
public protocol Event: Codable, Sendable {
    /// The topic under which events of this type travel.
    static var topic: Topic { get }

    /// The version of the type's wire form; 1 unless stated.
    ///
    /// An instance that meets a higher version than its own does not handle the event but leaves it to be retried, so
    /// that during a rolling deployment a newer instance takes it.
    static var version: Int { get }

    /// What this event belongs to, such as an order's number; `nil` unless stated.
    ///
    /// In a subscription with ``SubscriptionOptions/Ordering/byPartitionKey`` events of one key are handled one after
    /// another.
    var partitionKey: String? { get }
}

extension Event {
    /// Version 1.
    public static var version: Int { 1 }

    /// No key: the event has no order among others.
    public var partitionKey: String? { nil }
}

/// An event that asks for an answer: a question put to whichever service responds to its topic.
///
/// ```swift
/// struct GetQuote: RequestEvent {
///     static let topic: Topic = "quote.requested"
///     struct Reply: Codable, Sendable { var price: Int }
///     var sku: String
/// }
/// ```
public protocol RequestEvent: Event {
    /// What the responder answers with.
    associatedtype Reply: Codable & Sendable
}
