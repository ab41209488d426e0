public import EventBus

/// A broker with AMQP's meaning that lives in the process.
///
/// It routes by topic pattern to one durable queue for each subscription, shares a queue's deliveries out among its
/// consumers within their prefetch, delivers again what a consumer left unsettled, and keeps dead letters. Events live
/// as long as the broker object: it is for tests, and for services that run embedded.
///
/// Any number of ``InMemoryTransport``s can share one broker, as instances of services share a server:
///
/// ```swift
/// let broker = InMemoryBroker(clock: ManualClock())
/// let orders = EventBus(transport: .inMemory(broker))
/// let inventory = EventBus(transport: .inMemory(broker))
/// ```
public final class InMemoryBroker: Sendable {
    /// What a broker can be told.
    public struct Configuration: Hashable, Sendable {
        /// What happens to a publish that leads to a full queue.
        public enum Overflow: Hashable, Sendable {
            /// It waits for room until its deadline, then it fails with code `.blocked`: nothing was sent.
            case wait
            /// It fails with code `.rejected`, as over RabbitMQ under a `max-length` policy with the overflow
            /// `reject-publish`: the queues with room hold the event. Publishing again with the same id is safe where
            /// handlers suppress duplicates.
            case rejectPublish
        }

        /// How many events may be ready in a queue before it is full; at least 1. Defaults to 100,000. See ``overflow``.
        ///
        /// Retries, redeliveries, scheduled events that are due and replayed dead letters go in regardless: the broker
        /// has already taken them on.
        public var maximumQueueLength: Int
        /// What happens to a publish that leads to a full queue. Defaults to ``Overflow/wait``, so that an embedded
        /// service that publishes too fast slows down.
        public var overflow: Overflow
        /// How often an event is delivered again because a consumer vanished with it. At the next loss it becomes a
        /// dead letter with reason `.deliveryLimit`.
        public var deliveryLimit: Int
        /// The largest payload that is accepted, in bytes. Defaults to ``/EventBus/TransportLimits/maximumBodySize``, as
        /// over RabbitMQ.
        public var maximumBodySize: Int
        /// How long, by the broker's clock, a delivery may stay unsettled before its consumer loses everything that it
        /// has not settled, which is then delivered again; `nil` for no limit. Defaults to 30 minutes, as on RabbitMQ.
        ///
        /// Like RabbitMQ, a broker on a real clock looks now and then: a delivery is taken back up to a thirtieth of this
        /// time late.
        public var consumerTimeout: Duration?

        /// A configuration with these limits.
        public init(
            maximumQueueLength: Int = 100_000,
            deliveryLimit: Int = 20,
            maximumBodySize: Int = TransportLimits.maximumBodySize,
            overflow: Overflow = .wait,
            consumerTimeout: Duration? = TransportLimits.consumerTimeout
        ) {
            self.maximumQueueLength = maximumQueueLength
            self.overflow = overflow
            self.consumerTimeout = consumerTimeout
            self.deliveryLimit = deliveryLimit
            self.maximumBodySize = maximumBodySize
        }
    }

    /// A queue at one moment.
    public struct QueueSnapshot: Hashable, Sendable {
        /// The queue's name, `GROUP.NAME`.
        public var name: String
        /// Events that wait for a consumer.
        public var ready: Int
        /// Deliveries that consumers hold.
        public var unsettled: Int
        /// Events that come to the queue after a delay.
        public var delayed: Int
        /// Consumers that take deliveries, or stand by.
        public var consumers: Int
    }

    /// The time by which delays and deadlines are measured.
    public let clock: AnyClock

    private let configuration: Configuration
    /// What else `settled()` waits for.
    let activityMonitor = ActivityMonitor()

    private let state: Locked<BrokerState>

    /// A broker without queues.
    ///
    /// - Parameters:
    ///   - configuration: Its limits.
    ///   - clock: Its time; with a manual clock delays cost no real time, see
    ///     ``settled(within:handlerPatience:)``.
    ///   - faults: Failures to inject; none unless stated.
    public init(
        configuration: Configuration = .init(),
        clock: some Clock<Duration> = ContinuousClock(),
        faults: FaultPlan? = nil
    ) {
        var configuration = configuration
        configuration.maximumQueueLength = max(1, configuration.maximumQueueLength)
        configuration.deliveryLimit = max(0, configuration.deliveryLimit)
        configuration.consumerTimeout = configuration.consumerTimeout.map { min(max(.milliseconds(1), $0), .longest) }
        self.configuration = configuration
        self.clock = AnyClock(clock)
        self.state = Locked(
            BrokerState(configuration: configuration, faults: faults.map { FaultInjector(plan: $0) })
        )
        if configuration.consumerTimeout != nil {
            self.clock.onAdvance { [weak self] in self?.enforceConsumerTimeout() ?? false }
        }
    }

    /// The queues at this moment, in the order in which they were made.
    public var queues: [QueueSnapshot] {
        state.withLock { $0.snapshots() }
    }

    /// The faults injected so far, with the plan and its seed; `nil` without a plan.
    public var faultLog: FaultLog? {
        state.withLock { $0.faults?.log }
    }

    /// Drops every connection that runs and makes it again at once, as ``InMemoryTransport/loseConnection()`` does for
    /// one. For tests.
    public func loseConnections() {
        step { state, effects in
            for connection in state.connections.indices where state.connections[connection].isRunning {
                state.loseConnection(connection, maximumRedeliveries: nil, &effects)
            }
            state.dispatchMarked(&effects)
        }
    }

    /// Refuses what RabbitMQ would refuse.
    func check(_ envelope: Envelope, delay: Duration = .zero) throws(EventBusError) {
        try envelope.validate()
        try TransportLimits.check(bodySize: envelope.payload.count, maximum: configuration.maximumBodySize)
        try TransportLimits.check(delay: delay)
    }

    /// Makes one step of the state machine under the lock, and does outside of it what the step asks for.
    @inline(__always)
    func step<Result: Sendable, Failure: Error>(
        _ body: (inout BrokerState, inout Effects) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var effects = Effects()
        let time = clock.isManual && configuration.consumerTimeout != nil ? clock.now : nil
        let result = try state.withLock { (state) throws(Failure) -> Result in
            state.stepTime = time
            let result = try body(&state, &effects)
            state.finishStep(&effects)
            effects.order()
            return result
        }
        effects.perform()
        return result
    }

    /// Takes deliveries back whose time is over on a manual clock.
    ///
    /// - Returns: That the broker wants to hear of the next advance.
    private func enforceConsumerTimeout() -> Bool {
        let now = clock.now
        step { state, effects in _ = state.enforceConsumerTimeout(at: now, &effects) }
        return true
    }

    /// Notes who waits or no longer does, which changes nothing that others wait for.
    func update<Result: Sendable>(_ body: (inout BrokerState) -> Result) -> Result {
        state.withLock { body(&$0) }
    }

    /// Looks without changing anything.
    func look<Result: Sendable>(_ body: (borrowing BrokerState) -> Result) -> Result {
        state.withLock { body($0) }
    }
}
