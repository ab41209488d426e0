/// The final set of handlers of a subscription.
struct HandlerTable: Sendable {
    /// The only handler, if there is just one.
    private final class Only: Sendable {
        let topic: Topic
        let decode: SubscriptionHandlers.Decode

        init(_ topic: Topic, _ decode: @escaping SubscriptionHandlers.Decode) {
            self.topic = topic
            self.decode = decode
        }
    }

    private let only: Only?
    private let exact: [Topic: SubscriptionHandlers.Decode]
    private let wildcards: [(pattern: TopicPattern, decode: SubscriptionHandlers.Decode)]

    init(_ handlers: SubscriptionHandlers) {
        (exact, wildcards) = handlers.withConversions()
        if let first = exact.first, exact.count == 1, wildcards.isEmpty {
            only = Only(first.key, first.value)
        } else {
            only = nil
        }
    }

    /// Returns the handler for `envelope` with its decoded event, or `nil` if the subscription does not request its
    /// topic.
    func invocation(for envelope: Envelope) throws -> Invocation? {
        if let only {
            return only.topic == envelope.topic ? try only.decode(envelope) : nil
        }
        if let decode = exact[envelope.topic] { return try decode(envelope) }
        return try wildcards.first { $0.pattern.matches(envelope.topic) }?.decode(envelope)
    }
}
