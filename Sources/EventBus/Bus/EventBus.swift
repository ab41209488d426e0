internal import CoreMetrics
public import Logging
public import ServiceLifecycle
internal import Synchronization

/// A bus for typed events between the parts of a system. Each event is handled by every subscribed group at least once.
///
/// ```swift
/// let bus = EventBus(transport: .inMemory())
///
/// bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in
///     context.logger.info("reserving stock")
/// }
///
/// try await bus.withRunning {
///     try await bus.publish(OrderCreated(orderID: "42"))
/// }
/// ```
///
/// An event for which `publish` returned is handled by every subscribed group at least once, or is in a dead-letter
/// queue with the reason. The outcome of a handler is the acknowledgement: if it returns, the event is acknowledged. If
/// it throws, the event is retried according to the ``RetryPolicy`` of the subscription.
public final class EventBus: Service {
    /// The emitter for events within this process. It also receives every event that was published here, after the
    /// transport has accepted it.
    public let local: LocalEmitter

    /// The clock of the bus, which is that of its transport.
    public let clock: AnyClock

    let transport: any Transport
    let configuration: EventBusConfiguration
    let logger: BusLogger
    let codecs: CodecRegistry
    let payloads: PayloadPipeline
    let watchdog: HandlerWatchdog
    let registry = SubscriptionRegistry()
    let publishChain: PublishChain

    /// A Boolean value indicating whether a subscription holds what its handler publishes.
    let holdsPublishes = Atomic(false)

    let lifecycle = Locked(BusLifecycle())
    /// A signal that is raised when `run()` was called, or when the bus will never run.
    let begun = Signal()
    /// A signal that is raised when publishes no longer need to wait for subscriptions.
    let opened = Signal()
    /// A signal that is raised when the bus runs with its subscriptions attached, or never will.
    let started = Signal()
    /// A signal that is raised when a shutdown is requested.
    let stopping = Signal()
    /// A signal that is raised when the shutdown must not wait for handlers.
    let aborting = Signal()
    /// A signal that is raised when the handlers have ended and no publish is in flight.
    let publishesDone = Signal()

    /// Creates a bus on `transport`.
    ///
    /// Bootstrap metrics and tracing first: a bus that is created without them omits their middleware.
    ///
    /// - Parameters:
    ///   - transport: The transport that carries the events, such as `.inMemory()`.
    ///   - configuration: The settings of the bus. Each has a default.
    ///   - logger: The logger of the bus and of its handlers' contexts. Defaults to swift-log's logger with the label
    ///     `eventbus`, so that dead letters and failed subscriptions are visible. For a silent bus, pass `Logger(label:
    ///     "eventbus", factory: { _ in SwiftLogNoOpLogHandler() })`.
    public init(
        transport: some Transport,
        configuration: EventBusConfiguration = .init(),
        logger: Logger = Logger(label: "eventbus")
    ) {
        let logger = BusLogger(logger)
        self.transport = transport
        self.configuration = configuration
        self.logger = logger
        self.codecs = CodecRegistry(encoder: configuration.codec, others: configuration.additionalCodecs)
        self.payloads = PayloadPipeline(
            encoders: configuration.payloadSteps,
            others: configuration.additionalPayloadSteps,
            claimCheck: configuration.claimCheck
        )
        self.clock = transport.clock
        self.watchdog = HandlerWatchdog(clock: transport.clock)
        for case let step as any ClockedMiddleware in configuration.publishMiddleware { step.use(transport.clock) }
        let claiming = configuration.claimCheck.map { ClaimCheckMiddleware(claimCheck: $0, clock: transport.clock) }
        self.publishChain = PublishChain(
            transport: transport,
            middleware: configuration.publishMiddleware,
            claiming: claiming
        )
        // The default codec is built into the emitter, and is cheaper if it is not passed.
        let isDefault = (configuration.codec as? JSONEventCodec)?.isDefault == true
        let codec = isDefault ? nil : configuration.codec
        let failures = Counter(label: "eventbus.local.failed")
        self.local = LocalEmitter(codec: codec, clock: transport.clock) { failure in
            failures.increment()
            logger.logger.info("local listener failed", metadata: [LogKeys.error: "\(String(loggable: failure))"])
        }
        activityMonitor?.add(self)
    }

    /// Returns the health of the bus, its transport and every subscription.
    public func health() -> HealthReport {
        let runners = registry.runners
        let (phase, failure) = lifecycle.withLock { ($0.phase, $0.failure) }
        var bus = ComponentHealth(name: "bus", status: .notReady)
        switch phase {
        case .idle:
            bus.reason = "not running yet"
        case .starting:
            let missing = runners.filter(\.isAttaching).map(\.info.queueName)
            bus.reason = missing.isEmpty ? "starting" : "starting; not attached yet: " + missing.joined(separator: ", ")
        case .running:
            bus.status = .ready
        case .draining:
            bus.reason = "shutting down"
        case .closed:
            bus.reason = failure.map { "run() failed: \($0)" } ?? "shut down"
            if failure != nil { bus.status = .failed }
        }
        return HealthReport(components: [bus] + transport.health() + runners.map(\.health))
    }

    /// The maximum value of ``PublishOptions/delay``. A longer delay is refused with code `.unsupported`.
    public var maximumDelay: Duration { transport.maximumDelay }

    /// Returns the dead letters of `group`, to read, replay or discard.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        transport.deadLetters(of: group)
    }

    /// The delayed events that matched no queue when they were due, to read, replay or discard.
    ///
    /// ``health()`` counts them as `unroutable_delays`. On RabbitMQ they are those of the whole virtual host.
    public var unroutableDelays: any DeadLetterQueue { transport.unroutableDelays }
}
