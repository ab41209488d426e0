public import EventBus

/// A transport to an ``InMemoryBroker``. It is the connection of one instance.
///
/// The connection exists while ``run()`` is running. Publishing works without it, and attaching waits for it.
///
/// ```swift
/// let broker = InMemoryBroker()
/// let orders = EventBus(transport: .inMemory(broker))
/// let inventory = EventBus(transport: .inMemory(broker))  // Another instance on the same broker.
/// ```
public final class InMemoryTransport: Transport {
    /// The broker that the transport is connected to.
    public let broker: InMemoryBroker
    private let connection: Int

    /// Creates a transport to `broker`, which several transports may share. Defaults to a new broker.
    public init(broker: InMemoryBroker = InMemoryBroker()) {
        self.broker = broker
        self.connection = broker.step { state, _ in state.addConnection() }
    }

    deinit {
        broker.step { [connection] state, effects in state.releaseConnection(connection, &effects) }
    }

    /// The name of the transport, `in-memory`.
    public var name: String { "in-memory" }

    /// The broker's clock.
    public var clock: AnyClock { broker.clock }

    /// The broker's ``InMemoryBroker/Configuration/consumerTimeout``.
    public var consumerTimeout: Duration? { broker.configuration.consumerTimeout }

    /// Keeps the connection and the broker's timers running until the task is cancelled. Then every consumer is
    /// detached, and its unsettled deliveries are returned to their queues.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.alreadyRunning` while an earlier call is running.
    public func run() async throws {
        try await broker.run(connection)
    }

    /// Adds an event to the queues of all matching subscriptions.
    ///
    /// While one of the queues is full, the call waits until the deadline.
    ///
    /// - Throws: ``/EventBus/EventBusError``: `.blocked` if the deadline passed and nothing was sent;
    ///   `.invalidEnvelope`, `.tooLarge` or `.unsupported` for an event that RabbitMQ would refuse, see
    ///   ``/EventBus/TransportLimits``. `CancellationError` if the task was cancelled first.
    public func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await broker.publish(envelope, options: options)
    }

    /// Adds events to queues in order. See ``publish(_:options:)``.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        await broker.publish(contentsOf: envelopes, options: options)
    }

    /// Sends a request to the responders' queues and waits for the first reply.
    ///
    /// - Throws: ``/EventBus/EventBusError``: `.unroutable` immediately if no queue matches, `.timedOut` at the
    ///   deadline, and `.blocked` if a queue was full until then. `CancellationError` if the task was cancelled.
    public func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await broker.request(envelope, deadline: deadline)
    }

    /// Passes a reply to the waiting requester. A late reply is dropped.
    public func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try broker.reply(envelope, to: address)
    }

    /// Declares a queue, binds it, and delivers to `sink`. Waits until ``run()`` is called.
    ///
    /// An existing queue gets the missing patterns. It continues to exist and to collect events after its consumers are
    /// gone. Only the queue of a broadcast subscription ends with its consumer.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.topologyClash` if the queue exists with another ordering.
    ///   `CancellationError` if the task was cancelled.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try Task.checkCancellation()
        let port = ConsumerMailbox(sink: sink)
        while true {
            try await broker.waitUntilRunning(connection)
            let consumer: ConsumerReference? = try broker.step { (state, effects) throws(EventBusError) in
                // The connection may have ended since.
                guard state.connections[connection].isRunning else { return nil }
                return try state.attach(queue, port: port, connection: connection, &effects)
            }
            if let consumer { return InMemoryConsumer(transport: self, reference: consumer, port: port) }
        }
    }

    /// Returns the dead letters of `group`, which are stored in the broker.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        InMemoryDeadLetters(broker: broker, place: .group(ExactText(group)))
    }

    /// The scheduled events that matched no subscription when they were due.
    public var unroutableDelays: any DeadLetterQueue {
        InMemoryDeadLetters(broker: broker, place: .unroutableDelays)
    }

    /// Returns whether the connection is running, with figures of the broker's queues.
    public func health() -> [ComponentHealth] {
        let (isRunning, details) = broker.look { state in
            let details = [
                "ready": state.readyCount,
                "unsettled": state.unsettledCount,
                "delayed": state.timers.count,
                "unroutable_delays": state.unroutableDelays.entries.count,
            ]
            return (state.connections[connection].isRunning, details)
        }
        return [
            ComponentHealth(
                name: "transport.in-memory",
                status: isRunning ? .ready : .notReady,
                reason: isRunning ? nil : "run() has not been called, or has ended",
                details: details
            )
        ]
    }

    /// Drops the connection and reconnects immediately, as after a network failure. Unsettled deliveries are
    /// redelivered and count one more redelivery. Settling them on the old connection throws `.staleDelivery`. The
    /// queues of broadcast subscriptions are replaced by empty ones. For tests.
    public func loseConnection() {
        broker.step { state, effects in
            state.loseConnection(connection, maximumRedeliveries: nil, &effects)
            state.dispatchMarked(&effects)
        }
    }
}

extension InMemoryTransport: ActivityMonitoring {
    package var activityMonitor: ActivityMonitor { broker.activityMonitor }
}

extension Transport where Self == InMemoryTransport {
    /// Returns a transport to a new broker.
    public static func inMemory() -> InMemoryTransport { InMemoryTransport() }

    /// Returns a transport to `broker`.
    public static func inMemory(_ broker: InMemoryBroker) -> InMemoryTransport { InMemoryTransport(broker: broker) }
}
