internal import CoreMetrics
public import Logging
public import ServiceLifecycle

/// Typed events between the parts of a system: published here, handled by every subscribed group at least once.
///
/// ```swift
/// let bus = EventBus(transport: .inMemory)
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
/// An event that `publish` returned for is handled by every subscribed group at least once, or lies in a dead-letter
/// queue with the reason. A handler's outcome is the acknowledgement: returning acknowledges, throwing has the event
/// tried again as the subscription's ``RetryPolicy`` says.
public final class EventBus: Service {
    /// Events within this process; also gets every event that was published here, once the transport has accepted it.
    public let local: LocalEmitter

    /// The time by which the bus measures: its transport's.
    public let clock: AnyClock

    let transport: any Transport
    let configuration: EventBusConfiguration
    let logger: BusLogger
    let codecs: CodecRegistry
    let watchdog: HandlerWatchdog
    let registry = SubscriptionRegistry()
    let publishChain: PublishChain

    let lifecycle = Locked(BusLifecycle())
    /// Raised when `run()` was called, or the bus never will run.
    let begun = Signal()
    /// Raised when publishes need not wait for subscriptions any more.
    let opened = Signal()
    /// Raised when the bus runs with its subscriptions attached, or never will.
    let started = Signal()
    /// Raised when a shutdown is asked for.
    let stopping = Signal()
    /// Raised when the shutdown must not wait for handlers.
    let aborting = Signal()
    /// Raised once the handlers have ended and no publish is under way.
    let publishesDone = Signal()

    /// A bus on `transport`.
    ///
    /// Bootstrap metrics and tracing before: a bus that is made without them leaves their steps out.
    ///
    /// - Parameters:
    ///   - transport: What carries the events, such as `.inMemory`.
    ///   - configuration: How the bus behaves.
    ///   - logger: Where the bus and its handlers' contexts log. Defaults to swift-log's logger with the label
    ///     `eventbus`, so that dead letters and failed subscriptions leave a trace. For a silent bus give
    ///     `Logger(label: "eventbus", factory: { _ in SwiftLogNoOpLogHandler() })`.
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
        self.clock = transport.clock
        self.watchdog = HandlerWatchdog(clock: transport.clock)
        self.publishChain = PublishChain(transport: transport, middleware: configuration.publishMiddleware)
        // The default codec is the emitter's own, and costs it less if it need not be told.
        let isDefault = (configuration.codec as? JSONEventCodec)?.isDefault == true
        let codec = isDefault ? nil : configuration.codec
        let failures = Counter(label: "eventbus.local.failed")
        self.local = LocalEmitter(codec: codec) { failure in
            failures.increment()
            logger.logger.info("a local listener failed", metadata: [LogKeys.error: "\(failure)"])
        }
        activityMonitor?.add(self)
    }

    /// What works and what does not: the bus, its transport, every subscription.
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

    /// The longest delay that ``PublishOptions/delay`` may ask for; a longer one is refused with code `.unsupported`.
    public var maximumDelay: Duration { transport.maximumDelay }

    /// The dead letters of `group`, to read, replay or discard.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        transport.deadLetters(of: group)
    }

    /// The delayed events that found no queue when their delay had passed, to read, replay or discard.
    ///
    /// ``health()`` counts them as `unroutable_delays`. Over RabbitMQ they are those of the whole virtual host.
    public var unroutableDelays: any DeadLetterQueue { transport.unroutableDelays }
}
