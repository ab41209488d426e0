public import EventBus

/// A transport to an ``InMemoryBroker``: one instance's connection to it.
///
/// The connection lasts while ``run()`` does. Publishing works without it; attaching waits for it.
public final class InMemoryTransport: Transport {
    /// The broker that the transport is connected to.
    public let broker: InMemoryBroker
    private let connection: Int

    /// A transport to `broker`, which others may share.
    public init(broker: InMemoryBroker = InMemoryBroker()) {
        self.broker = broker
        self.connection = broker.step { state, _ in state.addConnection() }
    }

    deinit {
        broker.step { [connection] state, effects in state.releaseConnection(connection, &effects) }
    }

    /// `in-memory`.
    public var name: String { "in-memory" }

    /// The broker's clock.
    public var clock: AnyClock { broker.clock }

    /// Keeps the connection, and the broker's timers, until the task is cancelled; then every consumer is detached and
    /// what it held is back in its queue.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.alreadyRunning` while an earlier call is under way.
    public func run() async throws {
        try await broker.run(connection)
    }

    /// Puts an envelope into the queues of all matching subscriptions.
    ///
    /// While one of them is full the call waits, until the deadline.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.blocked` when the deadline passed and nothing was sent;
    ///   `.invalidEnvelope`, `.tooLarge` or `.unsupported` for what RabbitMQ would refuse, see
    ///   ``/EventBus/TransportLimits``; `CancellationError` when cancelled before.
    public func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await broker.publish(envelope, replyAddress: nil, options: options)
    }

    /// Puts envelopes into queues in their order; see ``publish(_:options:)``.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        await broker.publish(contentsOf: envelopes, options: options)
    }

    /// Sends a request to the responders' queues and waits for the first reply.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.unroutable` at once if no queue matches, `.timedOut` at the deadline, and
    ///   `.blocked` if a queue was full until then; `CancellationError`.
    public func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await broker.request(envelope, deadline: deadline)
    }

    /// Hands a reply to who waits for it; one that comes too late is dropped.
    public func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try broker.reply(envelope, to: address)
    }

    /// Declares a queue, binds it, and delivers to `sink`; waits until ``run()`` is called.
    ///
    /// A queue that exists gets the patterns it lacks. It stays, and collects events, when its consumers are gone; only
    /// a broadcast subscription's queue ends with its consumer.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.topologyClash` when the queue exists with another ordering;
    ///   `CancellationError`.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try Task.checkCancellation()
        let port = ConsumerPort(sink: sink)
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

    /// The dead letters of `group`, which live in the broker.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        InMemoryDeadLetters(broker: broker, place: .group(ExactText(group)))
    }

    /// The scheduled events that no subscription matched when they were due.
    public var unroutableDelays: any DeadLetterQueue {
        InMemoryDeadLetters(broker: broker, place: .unroutableDelays)
    }

    /// Whether the connection is up, with figures of the broker's queues.
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

    /// Drops the connection and makes it again at once, as a network failure would: what the consumers hold unsettled
    /// is delivered again with one more redelivery, settling it on the old connection throws `.staleDelivery`, and
    /// broadcast queues begin anew. For tests.
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
    /// A transport to a broker of its own.
    public static var inMemory: InMemoryTransport { InMemoryTransport() }

    /// A transport to `broker`.
    public static func inMemory(_ broker: InMemoryBroker) -> InMemoryTransport { InMemoryTransport(broker: broker) }
}
