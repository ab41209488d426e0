/// An event that requests a reply from the service that responds to its topic.
///
/// ```swift
/// struct GetQuote: RequestEvent {
///     static let topic: Topic = "quote.requested"
///     struct Reply: Codable, Sendable { var price: Int }
///     var sku: String
/// }
/// ```
public protocol RequestEvent: Event {
    /// The type of the reply.
    associatedtype Reply: Codable & Sendable
}
