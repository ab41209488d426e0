/// A typed value that tells other parts of a system about something that happened, such as `OrderCreated` or
/// `StockReserved`.
///
/// ```swift
/// struct OrderCreated: Event {
///     static let topic: Topic = "order.created"
///     var orderID: String
/// }
/// ```
///
/// The type's JSON format is a contract between services. Optional properties can be added at any time. Increase
/// ``version`` when old readers cannot interpret a new event correctly.
public protocol Event: Codable, Sendable {
    /// The topic of events of this type. See ``RoutedEvent`` for a type whose topics contain values of the event.
    static var topic: Topic { get }

    /// The pattern that matches the topics of all events of this type. Defaults to the single ``topic``.
    static var topicPattern: TopicPattern { get }

    /// Returns the topic of this event. Defaults to the ``topic`` of the type.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidTopic`.
    func resolveTopic() throws(EventBusError) -> Topic

    /// The version of the type's wire format. Defaults to 1.
    ///
    /// An instance that receives a higher version than its own does not handle the event but defers it, so that a newer
    /// instance handles it during a rolling deployment.
    static var version: Int { get }

    /// The key of the entity that the event belongs to, such as an order's number, or `nil` for none. Defaults to
    /// `nil`.
    ///
    /// In a subscription with ``SubscriptionOptions/Ordering/byPartitionKey``, events with the same key are handled one
    /// after another.
    var partitionKey: String? { get }
}

extension Event {
    /// The pattern that matches the single topic of the type.
    public static var topicPattern: TopicPattern { TopicPattern(topic) }

    /// Returns the single topic of the type.
    public func resolveTopic() throws(EventBusError) -> Topic { Self.topic }

    /// The default version, 1.
    public static var version: Int { 1 }

    /// The default key, `nil`: the event has no order among others.
    public var partitionKey: String? { nil }
}
