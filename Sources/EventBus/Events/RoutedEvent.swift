/// An event whose topic contains values of the event, such as `customer.7.ordered`, so that subscribers can select events
/// by them.
///
/// ```swift
/// struct CustomerOrdered: RoutedEvent {
///     static let topicTemplate: TopicPattern = "customer.*.ordered"
///     var topicValues: [String] { [customerID] }
///     var customerID: String
/// }
///
/// bus.subscribe(to: CustomerOrdered.self, group: "audit") { event in … }
/// bus.subscribe(to: CustomerOrdered.self, matching: "customer.7.*", group: "key-account") { event in … }
/// bus.local.on("customer.7.#") { event in … }
/// ```
///
/// Use it only if subscribers select by the values. A binding for each customer slows the broker down, and metrics count
/// the topics above ``MetricsMiddleware/maximumTopics`` together. To keep the events of one customer in order, a
/// ``Event/partitionKey`` suffices.
///
/// A local listener receives an event whose values cannot be words of a topic under the type's ``Event/topic``, in which
/// they are replaced by `_`. Publishing such an event throws.
public protocol RoutedEvent: Event {
    /// The form of the topics of this type. Each `*` stands for one of ``topicValues``. It contains no `#`.
    static var topicTemplate: TopicPattern { get }

    /// The values for the wildcards of ``topicTemplate``, in order.
    ///
    /// A value must be a valid word: not empty, and without dots, wildcards, white space and control characters.
    /// Otherwise publishing the event throws an ``EventBusError`` with code `.invalidTopic`. Encode values that may
    /// contain such characters, such as names and addresses.
    var topicValues: [String] { get }
}

extension RoutedEvent {
    /// The name of the type's topics, with `_` instead of the values. No event is published to it.
    public static var topic: Topic { topicTemplate.representative }

    /// The pattern that matches the topics of all events of this type, which is ``topicTemplate``.
    public static var topicPattern: TopicPattern { topicTemplate }

    /// Returns the topic with the event's values.
    public func resolveTopic() throws(EventBusError) -> Topic {
        let template = Self.topicTemplate
        var values = topicValues[...]
        var words: [String] = []
        for word in template.words {
            switch word {
            case .literal(let text):
                words.append(String(text.text))
            case .one:
                guard let value = values.popFirst() else { throw Self.mismatch(template, topicValues.count) }
                words.append(value)
            case .many:
                throw EventBusError(
                    .invalidTopic,
                    "the topicTemplate \(template) of \(Self.self) contains #; use a * for each of its topicValues"
                )
            }
        }
        guard values.isEmpty else { throw Self.mismatch(template, topicValues.count) }
        return try Topic(words: words)
    }

    private static func mismatch(_ template: TopicPattern, _ count: Int) -> EventBusError {
        let wildcards = template.words.count { $0 == .one }
        return EventBusError(
            .invalidTopic,
            "the topicTemplate \(template) of \(Self.self) has \(wildcards) wildcards, but the event has \(count) topicValues"
        )
    }
}

extension Event {
    /// The topic under which local listeners receive the event.
    @usableFromInline
    var localTopic: Topic { (try? resolveTopic()) ?? Self.topic }
}
