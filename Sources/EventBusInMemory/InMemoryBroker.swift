public import EventBus

/// An in-process broker with the semantics of AMQP.
///
/// It routes by topic pattern to one durable queue for each subscription, distributes a queue's events among its
/// consumers within their prefetch, redelivers unsettled events, and keeps dead letters. Events live as long as the
/// broker object. It is meant for tests and for embedded services.
///
/// Any number of ``InMemoryTransport``s can share one broker, as instances of services share a server:
///
/// ```swift
/// let broker = InMemoryBroker(clock: ManualClock())
/// let orders = EventBus(transport: .inMemory(broker))
/// let inventory = EventBus(transport: .inMemory(broker))
/// ```
public final class InMemoryBroker: Sendable {
    /// The limits of a broker.
    ///
    /// ```swift
    /// let broker = InMemoryBroker(configuration: .init(maximumQueueLength: 1_000, overflow: .rejectPublish))
    /// ```
    public struct Configuration: Hashable, Sendable {
        /// The treatment of a publish whose target queue is full.
        public enum Overflow: Hashable, Sendable {
            /// The publish waits for room until its deadline. Then it fails with code `.blocked`, and nothing was sent.
            case wait
            /// The publish fails with code `.rejected`, as on RabbitMQ with a `max-length` policy and the overflow
            /// `reject-publish`. The queues with room have received the event. Publishing again with the same id is
            /// safe if handlers suppress duplicates.
            case rejectPublish
        }

        /// The number of ready events at which a queue is full, at least 1. Defaults to 100,000. See ``overflow``.
        ///
        /// Retries, redeliveries, due scheduled events and replayed dead letters are added even to a full queue,
        /// because the broker has already accepted them.
        public var maximumQueueLength: Int
        /// The treatment of a publish whose target queue is full. Defaults to ``Overflow/wait``, so that an embedded
        /// service that publishes too fast slows down.
        public var overflow: Overflow
        /// The maximum number of redeliveries of an event whose consumer vanished. At the next loss it becomes a dead
        /// letter with reason `.deliveryLimit`. Defaults to 20.
        public var deliveryLimit: Int
        /// The maximum size of a payload in bytes. Defaults to ``/EventBus/TransportLimits/maximumBodySize``, as on
        /// RabbitMQ.
        public var maximumBodySize: Int
        /// The maximum time, by the broker's clock, for which a delivery may stay unsettled, or `nil` for no limit.
        /// The broker redelivers all unsettled deliveries of a consumer that exceeds it. Defaults to 30 minutes, as on
        /// RabbitMQ.
        ///
        /// Like RabbitMQ, a broker on a real clock checks at intervals: a delivery may be taken back late by up to a
        /// thirtieth of this time.
        public var consumerTimeout: Duration?

        /// Creates a configuration with these limits.
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

    /// The state of a queue at one moment.
    ///
    /// ```swift
    /// for queue in broker.queues { print(queue.name, queue.ready, queue.unsettled) }
    /// ```
    public struct QueueSnapshot: Hashable, Sendable {
        /// The queue's name, `GROUP.NAME`.
        public var name: String
        /// The number of events that wait for a consumer.
        public var ready: Int
        /// The number of deliveries that consumers have not settled.
        public var unsettled: Int
        /// The number of events that reach the queue after a delay.
        public var delayed: Int
        /// The number of consumers that are active or stand by.
        public var consumers: Int
    }

    /// The clock that measures delays and deadlines.
    public let clock: AnyClock

    let configuration: Configuration
    /// Other activities that `settled()` waits for.
    let activityMonitor = ActivityMonitor()

    private let state: Locked<BrokerState>

    /// Creates a broker without queues.
    ///
    /// - Parameters:
    ///   - configuration: The limits of the broker. Each has a default.
    ///   - clock: The broker's clock. Defaults to the real time. On a manual clock delays take no real time, see
    ///     ``settled(within:handlerPatience:)``.
    ///   - faults: The failures to inject. Defaults to none.
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

    /// The current state of the queues, in the order of their creation.
    public var queues: [QueueSnapshot] {
        state.withLock { $0.snapshots() }
    }

    /// The faults injected so far, with the plan and its seed, or `nil` without a plan.
    public var faultLog: FaultLog? {
        state.withLock { $0.faults?.log }
    }

    /// Drops all running connections and reconnects them immediately, as ``InMemoryTransport/loseConnection()`` does
    /// for one. For tests.
    public func loseConnections() {
        step { state, effects in
            for connection in state.connections.indices where state.connections[connection].isRunning {
                state.loseConnection(connection, maximumRedeliveries: nil, &effects)
            }
            state.dispatchMarked(&effects)
        }
    }

    /// Refuses events that RabbitMQ would refuse.
    func check(_ envelope: Envelope, _ options: TransportPublishOptions) throws(EventBusError) {
        try envelope.validate()
        try TransportLimits.check(bodySize: envelope.payload.count, maximum: configuration.maximumBodySize)
        try TransportLimits.check(options)
    }

    /// Makes one step of the state machine under the lock, and performs its effects outside the lock.
    @inline(__always)
    func step<Result: Sendable, Failure: Error>(
        _ body: (inout BrokerState, inout Effects) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var effects = Effects(clock: clock)
        let time = clock.isManual && configuration.consumerTimeout != nil ? clock.now : nil
        let result = try state.withLock { (state) throws(Failure) -> Result in
            state.stepTime = time
            if state.hasExpirations { state.expire(by: clock.now, &effects) }
            let result = try body(&state, &effects)
            state.finishStep(&effects)
            effects.order()
            return result
        }
        effects.perform()
        return result
    }

    /// Takes back overdue deliveries on a manual clock.
    ///
    /// - Returns: `true` if the broker has to be notified of the next advance.
    private func enforceConsumerTimeout() -> Bool {
        let now = clock.now
        step { state, effects in _ = state.enforceConsumerTimeout(at: now, &effects) }
        return true
    }

    /// Registers or removes a waiting caller, which changes nothing that others wait for.
    func update<Result: Sendable>(_ body: (inout BrokerState) -> Result) -> Result {
        state.withLock { body(&$0) }
    }

    /// Reads the state without changing it.
    func look<Result: Sendable>(_ body: (borrowing BrokerState) -> Result) -> Result {
        state.withLock { body($0) }
    }
}
