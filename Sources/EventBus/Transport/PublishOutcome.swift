/// The outcome of a successful publish.
public enum PublishOutcome: Hashable, Sendable {
    /// At least one subscription's queue has the event. Over RabbitMQ it may instead be a queue behind an alternate
    /// exchange, if an operator has given the events exchange one.
    case routed
    /// The broker accepted the event, but no subscription matches its topic, so it was dropped.
    case unroutable
    /// The broker holds the event until its delay has passed, and then routes it.
    case scheduled
    /// The bus holds the event until the handler that published it has returned. Transports never report it. See
    /// ``SubscriptionOptions/publishing``.
    case held
}

extension PublishOutcome {
    /// A Boolean value indicating whether the event has been sent for immediate delivery, so that local listeners
    /// receive it too.
    var isImmediate: Bool { self == .routed || self == .unroutable }
}
