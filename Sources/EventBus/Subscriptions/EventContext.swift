internal import Instrumentation
public import Logging
internal import Synchronization

/// Information about a delivery that is passed to a handler with the event.
///
/// ```swift
/// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
///     if context.isLastAttempt { context.logger.warning("last attempt") }
///     try await reserve(order)
/// }
/// ```
public final class EventContext: Sendable {
    /// The number of this attempt to handle the event, from 1.
    public let attempt: Int
    /// A Boolean value indicating whether the event becomes a dead letter if this attempt fails.
    ///
    /// It is known before the handler runs, so it depends on the ``SubscriptionOptions/retry`` policy and the time alone. An
    /// error that ends the retries earlier, a ``NonRetryable`` one or one with a ``RetryVerdict``, makes a dead letter of the
    /// event although the value is `false`.
    public let isLastAttempt: Bool
    /// The chain of causes that the event belongs to. If the event had none, it is the event's own id. A digest replaces one
    /// that is too long or contains control characters.
    public let correlationID: CorrelationID

    let delivery: Delivery
    package let worker: Worker
    let invocation: Invocation
    /// A Boolean value indicating whether it is the delivery that probes while its subscription is paused.
    let isProbe: Bool
    let processor: DeliveryProcessor
    private let consumer: any TransportConsumer
    private let suppressed = Atomic<Suppression>(.none)
    private let evidence = Atomic<HandlerEvidence>(.none)
    private let unrecorded = Atomic(false)
    private let askingInbox = Atomic(false)
    private let crashed = Atomic(false)
    private let uncounted = Locked<(any UncountedError)?>(nil)

    init(
        delivery: Delivery,
        attempt: Int,
        isLastAttempt: Bool,
        isProbe: Bool,
        worker: Worker,
        invocation: @escaping Invocation,
        processor: DeliveryProcessor,
        consumer: any TransportConsumer
    ) {
        self.delivery = delivery
        self.attempt = attempt
        self.isLastAttempt = isLastAttempt
        self.isProbe = isProbe
        self.correlationID = (delivery.envelope.correlationID ?? CorrelationID(delivery.envelope.id)).portable
        self.worker = worker
        self.invocation = invocation
        self.processor = processor
        self.consumer = consumer
    }

    /// The subscription of the delivery.
    public var subscription: SubscriptionInfo { processor.subscription }

    /// The event in its wire format, with the encodings of the bus's payload steps undone.
    public var envelope: Envelope { delivery.envelope }

    /// The address for the reply if the event is a request, and `nil` otherwise.
    var replyAddress: ReplyAddress? { delivery.replyAddress }

    /// The event's identity, which is the same in every delivery of it. See ``SubscriptionOptions/identity``.
    public var id: EventID { delivery.envelope.id }

    /// The event's topic.
    public var topic: Topic { delivery.envelope.topic }

    /// The headers that accompany the payload.
    public var headers: EventHeaders { delivery.envelope.headers }

    /// A Boolean value indicating whether the delivery was revoked, because its connection was lost and the broker
    /// redelivers the event.
    ///
    /// Another instance may then handle the event while this handler is still running. The handler's task is cancelled
    /// at the same time, and its result is ignored. A handler that does not respond to cancellation should check this
    /// value before each effect:
    ///
    /// ```swift
    /// guard !context.isRevoked else { throw CancellationError() }
    /// ```
    ///
    /// The value stays `false` until the loss of the connection is detected, which takes up to two heartbeats on a
    /// silent network. Effects that need more than that need fencing: the resource refuses a ``Lease/fencingToken``
    /// that is lower than the greatest one it has received. A broadcast's handler is not cancelled, because no other
    /// consumer takes over from it.
    public var isRevoked: Bool { worker.isRevoked(delivery) }

    /// A logger that adds the event's id, correlation id, topic, group and attempt to every message.
    ///
    /// It is created on each access, so store it in a constant if a handler logs a lot.
    public var logger: Logger {
        processor.environment.logger.describing(envelope, attempt: attempt, subscription: subscription)
    }
}

extension EventContext {
    /// The clock of the bus.
    package var clock: AnyClock { worker.clock }

    /// The name of the bus's transport.
    var transportName: String { processor.environment.transport.name }

    /// The reason why an inbox prevented the handler from running.
    enum Suppression: UInt8, AtomicRepresentable {
        case none
        case duplicate
        /// The handled event with the same identity had another payload.
        case conflict
    }

    /// A Boolean value indicating whether an inbox prevented the handler from running.
    package var isSuppressed: Bool { suppression != .none }

    /// The reason why an inbox prevented the handler from running.
    var suppression: Suppression {
        get { suppressed.load(ordering: .relaxed) }
        set { suppressed.store(newValue, ordering: .relaxed) }
    }

    /// Counts and logs that an inbox has suppressed the event, if that is its decision.
    package func noteSuppression(_ decision: InboxDecision) {
        switch decision {
        case .new, .inProgress: break
        case .completed:
            suppression = .duplicate
            logger.info("duplicate suppressed")
        case .completedWithOtherPayload:
            suppression = .conflict
            logger.warning("suppressed an event with the topic and id of a handled event but another payload")
        }
    }

    /// The evidence about the handler that the attempt gives if the delivery is acknowledged.
    var handlerEvidence: HandlerEvidence {
        get { evidence.load(ordering: .relaxed) }
        set { evidence.store(newValue, ordering: .relaxed) }
    }

    /// A Boolean value indicating whether the handler returned, but its inbox could not record that.
    var isUnrecorded: Bool {
        get { unrecorded.load(ordering: .relaxed) }
        set { unrecorded.store(newValue, ordering: .relaxed) }
    }

    /// A Boolean value indicating whether an inbox is being asked, so that no handler runs yet.
    var isAskingInbox: Bool {
        get { askingInbox.load(ordering: .relaxed) }
        set { askingInbox.store(newValue, ordering: .relaxed) }
    }

    /// The error of the inbox that keeps this attempt from counting. It is stored here, because middleware may replace it.
    var uncountedError: (any UncountedError)? {
        get { uncounted.withLock { $0 } }
        set { uncounted.withLock { $0 = newValue } }
    }

    /// A Boolean value indicating whether the handler's outcome is ignored, because the broker redelivers the event.
    var isGivenUp: Bool { processor.aborting.isRaised || isRevoked }

    /// The identity of the delivery, which is also that of its settlement.
    package var key: DeliveryKey { DeliveryKey(session: ObjectIdentifier(processor.stopping), token: delivery.token) }

    /// A signal that is raised when the subscription's session has to end, so that nothing more arrives.
    var sessionStopping: Signal { processor.stopping }

    /// A signal that is raised when the session's channel has to be reopened, before which nothing more starts.
    var sessionReopening: Signal { worker.reopening }

    /// A Boolean value indicating whether the handler's task is cancelled.
    var isHandlerCancelled: Bool { worker.isExpired || isGivenUp }

    /// The failure that a broker under test injects into this attempt. It affects the delivery's first attempt only,
    /// because other attempts follow in this process.
    var fault: InjectedFault? { attempt == delivery.attempt ? delivery.injectedFault : nil }

    /// A Boolean value indicating whether an injected crash has struck after the handler.
    var hasCrashed: Bool {
        get { crashed.load(ordering: .relaxed) }
        set { crashed.store(newValue, ordering: .relaxed) }
    }

    /// The injected failure that strikes at the end of the attempt, or that has struck before and that middleware has
    /// swallowed, or `nil`.
    var lastFault: InjectedFault? {
        if hasCrashed { return .crashAfterHandler }
        return fault == .crashAfterRecord ? .crashAfterRecord : nil
    }

    /// A Boolean value indicating whether the subscription is paused, because its inbox could not be reached or its
    /// circuit breaker is open.
    var isPaused: Bool { processor.pause.isActive }

    /// Returns the correlation of what the handler publishes in its worker's attempt with this number.
    func correlation(attempt number: UInt64) -> EventCorrelation {
        EventCorrelation(
            handling: delivery.envelope,
            correlationID: correlationID,
            bus: processor.environment.bus,
            handler: ObjectIdentifier(processor),
            attempt: (worker.currentAttempt, number)
        )
    }

    /// Ends the subscription's pause, if there is one, because its inbox has answered.
    func noteInboxAnswer() {
        guard processor.pause.isActive, let ended = processor.pause.end(.inbox) else { return }
        consumer.pauses(until: nil)
        processor.environment.logger.logger.notice(
            "subscription resumed because its inbox is available again",
            metadata: [
                LogKeys.group: "\(subscription.group)", LogKeys.subscription: "\(subscription.name)",
                LogKeys.delay: "\(ended.since.duration(to: clock.now))",
            ]
        )
    }

    /// Runs the handler, and then publishes what it has published meanwhile. If it throws, that is discarded.
    func invokeHoldingPublishes() async throws {
        guard let correlation = EventCorrelation.current else { return try await invocation(self) }
        let context = correlation.holding(HeldPublishes()).serviceContext
        try await ServiceContext.$current.withValue(context) {
            do {
                try await invocation(self)
                try await publishHeld()
            } catch {
                discardHeld()
                throw error
            }
        }
    }

    /// Publishes what the handler has published so far, in order, if its subscription publishes when it has returned.
    func publishHeld() async throws {
        guard let held = EventCorrelation.current?.heldPublishes?.take() else { return }
        try await held.first?.bus.publish(held)
    }

    /// Discards what the handler has published so far, and what tasks that outlive it publish, if the subscription
    /// publishes when the handler has returned.
    func discardHeld() { EventCorrelation.current?.heldPublishes?.discard() }

    /// Tells the transport that the delivery waits until `due`, or that it goes on if that is not in the future.
    func noteWait(until due: AnyClock.Instant) { consumer.holds(delivery, until: due) }

    /// Returns the error for a handler that was cancelled at its limit, or `nil` if this one was not.
    func timeoutError(underlying: any Error) -> EventBusError? {
        worker.timeoutError(than: processor.handlerLimit.description, underlying: underlying)
    }

    /// Waits for the next attempt to record an effect. The transport is told that the delivery waits.
    ///
    /// - Returns: `true` if there is time for another attempt, which is not the case if running handlers are being
    ///   cancelled.
    func waitToRecord(until due: AnyClock.Instant) async -> Bool {
        consumer.holds(delivery, until: due)
        let aborting = processor.aborting
        _ = try? await withDeadline(due, clock: clock) { try await aborting.wait() }
        return !aborting.isRaised
    }
}

/// A handler with its decoded event, ready to run.
typealias Invocation = @Sendable (EventContext) async throws -> Void
