/// The handlers of one subscription, by event type or pattern.
///
/// Several types in one subscription share its queue and therefore keep the order of their events:
///
/// ```swift
/// bus.subscribe(group: "billing", name: "orders", options: .init(ordering: .byPartitionKey)) { handlers in
///     handlers.on(OrderCreated.self) { order, context in … }
///     handlers.on(OrderCancelled.self) { order, context in … }
/// }
/// ```
public struct SubscriptionHandlers {
    /// A function that decodes an envelope and returns the invocation to run.
    typealias Decode = @Sendable (Envelope) throws -> Invocation

    private(set) var patterns: [TopicPattern] = []
    private(set) var exact: [Topic: Decode] = [:]
    private(set) var wildcards: [(pattern: TopicPattern, decode: Decode)] = []
    private let codecs: CodecRegistry

    init(codecs: CodecRegistry) {
        self.codecs = codecs
    }

    /// Adds a handler for events of one type. If a topic has two handlers, the later one is used.
    public mutating func on<E: Event>(
        _ type: E.Type,
        handler: @escaping @Sendable (E, EventContext) async throws -> Void
    ) {
        let codecs = codecs
        add(topic: E.topic) { envelope in
            if envelope.version > E.version {
                throw EventBusError(
                    .newerVersion,
                    "event \(envelope.id) has version \(envelope.version); this instance knows \(E.self) up to "
                        + "version \(E.version)"
                )
            }
            let event = try codecs.decode(E.self, from: envelope)
            return { context in try await handler(event, context) }
        }
    }

    /// Adds a handler for events whose topic matches a pattern and that have no handler by type.
    public mutating func on(
        _ pattern: TopicPattern,
        handler: @escaping @Sendable (ReceivedEvent, EventContext) async throws -> Void
    ) {
        let codecs = codecs
        patterns.append(pattern)
        wildcards.append(
            (
                pattern,
                { envelope in
                    let event = ReceivedEvent(envelope: envelope, codecs: codecs)
                    return { context in try await handler(event, context) }
                }
            )
        )
    }

    mutating func add(topic: Topic, _ decode: @escaping Decode) {
        if exact.updateValue(decode, forKey: topic) == nil {
            patterns.append(TopicPattern(topic))
        }
    }
}

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
        exact = handlers.exact
        wildcards = handlers.wildcards
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
