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
        /// How many events may be ready in a queue before publishes to it wait; at least 1.
        ///
        /// Retries, redeliveries, scheduled events that are due and replayed dead letters go in regardless: the broker
        /// has already taken them on.
        public var maximumQueueLength: Int
        /// How often an event is delivered again because a consumer vanished with it. At the next loss it becomes a
        /// dead letter with reason `.deliveryLimit`.
        public var deliveryLimit: Int
        /// The largest payload that is accepted, in bytes. Defaults to ``/EventBus/TransportLimits/maximumBodySize``, as
        /// over RabbitMQ.
        public var maximumBodySize: Int

        /// A configuration with these limits.
        public init(
            maximumQueueLength: Int = 100_000,
            deliveryLimit: Int = 20,
            maximumBodySize: Int = TransportLimits.maximumBodySize
        ) {
            self.maximumQueueLength = maximumQueueLength
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
    ///   - clock: Its time; with a manual clock delays cost no real time, see ``settled(within:)``.
    ///   - faults: Failures to inject; none unless stated.
    public init(
        configuration: Configuration = .init(),
        clock: some Clock<Duration> = ContinuousClock(),
        faults: FaultPlan? = nil
    ) {
        var configuration = configuration
        configuration.maximumQueueLength = max(1, configuration.maximumQueueLength)
        configuration.deliveryLimit = max(0, configuration.deliveryLimit)
        self.configuration = configuration
        self.clock = AnyClock(clock)
        self.state = Locked(
            BrokerState(configuration: configuration, faults: faults.map { FaultInjector(plan: $0) })
        )
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
        let result = try state.withLock { (state) throws(Failure) -> Result in
            let result = try body(&state, &effects)
            state.finishStep(&effects)
            effects.order()
            return result
        }
        effects.perform()
        return result
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
