public import Logging

/// What a handler gets to know about the delivery beside the event itself.
public final class EventContext: Sendable {
    /// The subscription that the delivery came to.
    public let subscription: SubscriptionInfo
    /// Which attempt at handling this is, from 1.
    public let attempt: Int
    /// Whether a failure of this attempt puts the event to the dead letters.
    public let isLastAttempt: Bool
    /// The chain of causes the event belongs to; its own id where it came with none.
    public let correlationID: CorrelationID

    private let delivery: Delivery
    package let worker: Worker
    let invocation: Invocation
    private let busLogger: BusLogger

    init(
        delivery: Delivery,
        subscription: SubscriptionInfo,
        attempt: Int,
        isLastAttempt: Bool,
        worker: Worker,
        invocation: @escaping Invocation,
        logger: BusLogger
    ) {
        self.delivery = delivery
        self.subscription = subscription
        self.attempt = attempt
        self.isLastAttempt = isLastAttempt
        self.correlationID = delivery.envelope.correlationID ?? CorrelationID(delivery.envelope.id)
        self.worker = worker
        self.invocation = invocation
        self.busLogger = logger
    }

    /// The event as it came over the wire.
    public var envelope: Envelope { delivery.envelope }

    /// Where the reply goes, if the event is a request.
    var replyAddress: ReplyAddress? { delivery.replyAddress }

    /// The event's identity; the same for every delivery of it.
    public var id: EventID { delivery.envelope.id }

    /// The event's topic.
    public var topic: Topic { delivery.envelope.topic }

    /// What travelled beside the payload.
    public var headers: EventHeaders { delivery.envelope.headers }

    /// The bus's logger, with the event's id, correlation id, topic, group and attempt in every line.
    ///
    /// Made anew each time it is read: keep it in a constant where a handler logs much.
    public var logger: Logger {
        busLogger.describing(envelope, attempt: attempt, subscription: subscription)
    }
}

/// The handler with its decoded event, ready to run.
typealias Invocation = @Sendable (EventContext) async throws -> Void
