public import Logging
internal import Synchronization

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

    let delivery: Delivery
    package let worker: Worker
    let invocation: Invocation
    private let busLogger: BusLogger
    private let consumer: any TransportConsumer
    private let aborting: Signal
    private let pause: SubscriptionPause
    private let suppressed = Atomic(false)
    private let unrecorded = Atomic(false)

    init(
        delivery: Delivery,
        subscription: SubscriptionInfo,
        attempt: Int,
        isLastAttempt: Bool,
        worker: Worker,
        invocation: @escaping Invocation,
        logger: BusLogger,
        consumer: any TransportConsumer,
        aborting: Signal,
        pause: SubscriptionPause
    ) {
        self.delivery = delivery
        self.subscription = subscription
        self.attempt = attempt
        self.isLastAttempt = isLastAttempt
        self.correlationID = delivery.envelope.correlationID ?? CorrelationID(delivery.envelope.id)
        self.worker = worker
        self.invocation = invocation
        self.busLogger = logger
        self.consumer = consumer
        self.aborting = aborting
        self.pause = pause
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

    /// Whether the delivery was revoked: its connection was lost, and the broker gives the event to a consumer again.
    ///
    /// That consumer may be another instance, which handles the event while this handler still runs. The handler's task
    /// is cancelled at the same time, and whatever it returns or throws is ignored. A handler that does not heed
    /// cancellation asks before each effect:
    ///
    /// ```swift
    /// guard !context.isRevoked else { throw CancellationError() }
    /// ```
    ///
    /// It stays `false` while the loss of the connection is not noticed, which takes up to two heartbeats of a silent
    /// network. What an effect needs beyond that is fencing: the resource refuses a ``Lease/fencingToken`` that is
    /// lower than one it has seen. A broadcast's handler is not cancelled, because nobody takes over from it.
    public var isRevoked: Bool { worker.isRevoked(delivery) }

    /// The bus's logger, with the event's id, correlation id, topic, group and attempt in every line.
    ///
    /// Made anew each time it is read: keep it in a constant where a handler logs much.
    public var logger: Logger {
        busLogger.describing(envelope, attempt: attempt, subscription: subscription)
    }
}

extension EventContext {
    /// The clock of the bus.
    var clock: AnyClock { worker.clock }

    /// Whether an inbox knew the event, so that its handler did not run.
    var isSuppressedDuplicate: Bool {
        get { suppressed.load(ordering: .relaxed) }
        set { suppressed.store(newValue, ordering: .relaxed) }
    }

    /// Whether the handler returned, but its inbox could not record that.
    var isUnrecorded: Bool {
        get { unrecorded.load(ordering: .relaxed) }
        set { unrecorded.store(newValue, ordering: .relaxed) }
    }

    /// The failure that a broker under test injects into this attempt. It strikes the delivery's first attempt only: others
    /// follow in this process.
    var fault: InjectedFault? { attempt == delivery.attempt ? delivery.injectedFault : nil }

    /// Ends the subscription's pause, if there is one: its inbox has answered.
    func noteInboxAnswer() {
        guard pause.isActive, let ended = pause.end() else { return }
        consumer.pauses(until: nil)
        busLogger.logger.notice(
            "the subscription goes on: its inbox answers again",
            metadata: [
                LogKeys.group: "\(subscription.group)", LogKeys.subscription: "\(subscription.name)",
                LogKeys.delay: "\(ended.since.duration(to: clock.now))",
            ]
        )
    }

    /// Takes the handler's time limit away: the handler has returned or thrown.
    func disarmDeadline() { worker.disarm() }

    /// Waits for the next attempt to record an effect. The transport knows that the delivery waits.
    ///
    /// - Returns: Whether there is time for another attempt: not when running handlers are being cancelled.
    func waitToRecord(until due: AnyClock.Instant) async -> Bool {
        consumer.holds(delivery, until: due)
        let aborting = aborting
        _ = try? await withDeadline(due, clock: clock) { try await aborting.wait() }
        return !aborting.isRaised
    }
}

/// The handler with its decoded event, ready to run.
typealias Invocation = @Sendable (EventContext) async throws -> Void
