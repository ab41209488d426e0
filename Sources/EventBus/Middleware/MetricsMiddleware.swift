package import CoreMetrics

/// Middleware with counters, gauges and timers for publishing and handling, through swift-metrics.
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `eventbus.published` | counter | `topic`, `outcome` (`routed`, `unroutable`, `scheduled`, or an error's code) |
/// | `eventbus.publish.duration` | timer | `topic` |
/// | `eventbus.delivered` | counter | `topic`, `group` |
/// | `eventbus.handled` | counter | `topic`, `group`, `outcome` (`success`, `failure`): one for each attempt |
/// | `eventbus.duplicates_suppressed` | counter | `topic`, `group`: events that an inbox knew, so that no handler ran |
/// | `eventbus.duplicates_conflicting` | counter | `topic`, `group`: the same, with another payload |
/// | `eventbus.effects_unrecorded` | counter | `topic`, `group`: handled events that the inbox could not record |
/// | `eventbus.retried` | counter | `topic`, `group` |
/// | `eventbus.dead_lettered` | counter | `topic`, `group`, `outcome` (the reason) |
/// | `eventbus.handler.revoked` | counter | `topic`, `group`: running handlers whose delivery was revoked |
/// | `eventbus.handler.timed_out` | counter | `topic`, `group`: handlers that exceeded their time limit |
/// | `eventbus.in_flight` | gauge | `topic`, `group` |
/// | `eventbus.paused` | gauge | `topic`, `group`: 1 while the subscription is paused, by its user, inbox or breaker |
/// | `eventbus.handler.duration` | timer | `topic`, `group` |
/// | `eventbus.local.failed` | counter | (none; counted by the bus itself): local listeners that failed |
///
/// For deliveries, `topic` is the subscription's pattern and never a foreign topic, so that the number of labels is
/// bounded. After the first ``maximumTopics`` published topics, further ones are counted under `other`.
///
/// It is part of every bus with the default middleware. If you replace that, add it first:
///
/// ```swift
/// let metrics = MetricsMiddleware()
/// configuration.publishMiddleware = [metrics]
/// configuration.consumeMiddleware = [metrics, TenantFilter()]
/// ```
public final class MetricsMiddleware: PublishMiddleware, ConsumeMiddleware, DeliveryObserver, PromptMiddleware {
    /// The maximum number of published topics with separate labels.
    public static let maximumTopics = 1000

    private let fixedFactory: (any MetricsFactory)?
    private let publishers = Locked<[Topic: PublishInstruments]>([:])
    private let consumers = Locked<[SubscriptionInfo: ConsumeMetrics]>([:])

    /// Creates a step that uses the bootstrapped metrics system.
    public init() {
        fixedFactory = nil
    }

    package init(factory: any MetricsFactory) {
        fixedFactory = factory
    }

    private var factory: any MetricsFactory { fixedFactory ?? MetricsSystem.factory }

    /// A Boolean value indicating whether the service has bootstrapped a metrics system.
    public var isActive: Bool { !(factory is NOOPMetricsHandler) }

    /// Counts and times the publish.
    public func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt {
        let instruments = instruments(for: event.envelope.topic)
        let start = ContinuousClock.now
        defer { instruments.duration.recordNanoseconds(start.nanosecondsToNow) }
        do {
            let receipt = try await next(event)
            instruments.count(receipt.outcome)
            return receipt
        } catch {
            instruments.count(error)
            throw error
        }
    }

    /// Returns the step of one subscription, which saves looking up its instruments for each delivery.
    public func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware {
        metrics(of: subscription)
    }

    /// Counts and times an attempt.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        try await metrics(of: context.subscription).consume(context, next: next)
    }

    /// Counts a settled delivery.
    public func didSettle(_ delivery: SettledDelivery) {
        metrics(of: delivery.subscription).didSettle(delivery)
    }

    /// Counts a handler that has exceeded its time limit.
    public func didTimeOut(_ context: EventContext) {
        metrics(of: context.subscription).didTimeOut(context)
    }

    /// Counts a running handler whose delivery was revoked.
    public func didRevoke(_ context: EventContext) {
        metrics(of: context.subscription).didRevoke(context)
    }

    private func metrics(of subscription: SubscriptionInfo) -> ConsumeMetrics {
        consumers.withLock { consumers in
            if let known = consumers[subscription] { return known }
            let made = ConsumeMetrics(subscription: subscription, factory: factory)
            consumers[subscription] = made
            return made
        }
    }

    private func instruments(for topic: Topic) -> PublishInstruments {
        publishers.withLock { publishers in
            if let known = publishers[topic] { return known }
            let isOther = publishers.count >= Self.maximumTopics
            let key: Topic = isOther ? "other" : topic
            if isOther, let other = publishers[key] { return other }
            let made = PublishInstruments(topic: key.rawValue, factory: factory)
            publishers[key] = made
            return made
        }
    }
}

/// The instruments of one published topic.
private struct PublishInstruments: Sendable {
    let duration: Timer
    private let routed: Counter
    private let unroutable: Counter
    private let scheduled: Counter
    private let topic: String
    private let factory: any MetricsFactory

    init(topic: String, factory: any MetricsFactory) {
        func counter(_ outcome: String) -> Counter {
            Counter(
                label: "eventbus.published",
                dimensions: [("topic", topic), ("outcome", outcome)],
                factory: factory
            )
        }
        self.topic = topic
        self.factory = factory
        self.duration = Timer(label: "eventbus.publish.duration", dimensions: [("topic", topic)], factory: factory)
        self.routed = counter("routed")
        self.unroutable = counter("unroutable")
        self.scheduled = counter("scheduled")
    }

    func count(_ outcome: PublishOutcome) {
        switch outcome {
        case .routed: routed.increment()
        case .unroutable: unroutable.increment()
        case .scheduled: scheduled.increment()
        case .held: break
        }
    }

    func count(_ error: any Error) {
        let outcome =
            (error as? EventBusError)?.code.description ?? (error is CancellationError ? "cancelled" : "error")
        Counter(label: "eventbus.published", dimensions: [("topic", topic), ("outcome", outcome)], factory: factory)
            .increment()
    }
}

/// The instruments of one subscription.
private final class ConsumeMetrics: ConsumeMiddleware, PauseObserver {
    private let delivered: Counter
    private let succeeded: Counter
    private let failed: Counter
    private let suppressed: Counter
    private let conflicting: Counter
    private let unrecorded: Counter
    private let retried: Counter
    private let timedOut: Counter
    private let revoked: Counter
    private let duration: Timer
    private let inFlight: Meter
    private let subscription: SubscriptionInfo
    private let factory: any MetricsFactory

    init(subscription: SubscriptionInfo, factory: any MetricsFactory) {
        let labels = [("topic", subscription.pattern), ("group", subscription.group)]
        self.subscription = subscription
        self.factory = factory
        delivered = Counter(label: "eventbus.delivered", dimensions: labels, factory: factory)
        succeeded = Counter(label: "eventbus.handled", dimensions: labels + [("outcome", "success")], factory: factory)
        failed = Counter(label: "eventbus.handled", dimensions: labels + [("outcome", "failure")], factory: factory)
        suppressed = Counter(label: "eventbus.duplicates_suppressed", dimensions: labels, factory: factory)
        conflicting = Counter(label: "eventbus.duplicates_conflicting", dimensions: labels, factory: factory)
        unrecorded = Counter(label: "eventbus.effects_unrecorded", dimensions: labels, factory: factory)
        retried = Counter(label: "eventbus.retried", dimensions: labels, factory: factory)
        revoked = Counter(label: "eventbus.handler.revoked", dimensions: labels, factory: factory)
        timedOut = Counter(label: "eventbus.handler.timed_out", dimensions: labels, factory: factory)
        duration = Timer(label: "eventbus.handler.duration", dimensions: labels, factory: factory)
        inFlight = Meter(label: "eventbus.in_flight", dimensions: labels, factory: factory)
    }

    func consume(_ context: EventContext, next: ConsumeNext) async throws {
        let start = ContinuousClock.now
        inFlight.increment()
        defer {
            inFlight.decrement()
            duration.recordNanoseconds(start.nanosecondsToNow)
        }
        do {
            try await next(context)
            if context.isUnrecorded { unrecorded.increment() }
            switch context.suppression {
            case .none: succeeded.increment()
            case .duplicate: suppressed.increment()
            case .conflict: conflicting.increment()
            }
        } catch let error as any UncountedError {
            // Neither handled nor failed, because the event is checked again later.
            throw error
        } catch let error as EventBusError where error.code.isOutage {
            throw error
        } catch {
            failed.increment()
            throw error
        }
    }

    func didTimeOut(_ context: EventContext) {
        timedOut.increment()
    }

    func didRevoke(_ context: EventContext) {
        revoked.increment()
    }

    func didPause(_ isPaused: Bool) {
        let labels = [("topic", subscription.pattern), ("group", subscription.group)]
        Gauge(label: "eventbus.paused", dimensions: labels, factory: factory).record(isPaused ? 1 : 0)
    }

    func didSettle(_ delivery: SettledDelivery) {
        if !delivery.isHeld { delivered.increment() }
        switch delivery.disposition {
        case .retried:
            retried.increment()
        case .deadLettered(let failure):
            Counter(
                label: "eventbus.dead_lettered",
                dimensions: [
                    ("topic", subscription.pattern), ("group", subscription.group),
                    ("outcome", failure.reason.rawValue),
                ],
                factory: factory
            ).increment()
        case .acknowledged, .deferred, .requeued:
            break
        }
    }
}

extension ContinuousClock.Instant {
    /// The nanoseconds from this instant to now.
    var nanosecondsToNow: Int64 {
        let (seconds, attoseconds) = duration(to: .now).components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
