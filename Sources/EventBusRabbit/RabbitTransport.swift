import ConnectionThread
public import EventBus
public import Logging
import Synchronization

/// A transport that carries events over RabbitMQ 3.10 or later.
///
/// It has two connections, one for publishing and one for consuming, each on a separate thread, and a channel for each
/// subscription. The first reply to a request opens another one, for replies only. The broker confirms every publish, and
/// reports events that match no queue. Lost connections are re-established, including declarations, consumers and
/// unconfirmed events.
///
/// ```swift
/// let configuration = try RabbitConfiguration(uri: "amqp://orders:secret@rabbit.internal/shop")
/// let bus = try EventBus(transport: .rabbit(configuration, logger: logger))
/// ```
public final class RabbitTransport: Transport {
    /// The name of the transport, `rabbitmq`.
    public var name: String { "rabbitmq" }
    /// The system's continuous clock.
    public let clock: AnyClock

    let configuration: RabbitConfiguration
    /// The ``RabbitConfiguration/consumerTimeout`` of the configuration.
    public var consumerTimeout: Duration? { configuration.consumerTimeout }
    let core: Core

    /// The parts of a transport that need threads.
    struct Core: Sendable {
        let publishThread: ConnectionThread
        let publisher: RabbitPublisher
        /// The publisher of replies. It has a separate connection, so that requesters cannot disturb the service's own
        /// publishes.
        let replies: RabbitPublisher
        let replyThread: ConnectionThread
        /// The signal that the connection for replies is needed.
        let replyDemand: ReplyDemand
        /// The publisher of retries and dead letters. It has a separate window, so that a queue that confirms nothing does
        /// not fill that of others.
        let republishes: RabbitPublisher
        let requests: RequestClient
        let managers: ConsumerManagers
        let tools: DeadLetterTools
        let health: ConnectionHealth
        let watch: SendTimeoutMonitor
        let logger: BackgroundLogger
    }

    private let hasRun = Atomic(false)
    let lastRequest = Atomic<UInt64>(0)

    /// Creates a transport, which connects when it runs.
    ///
    /// - Parameters:
    ///   - configuration: The address of the broker and the settings of the connections.
    ///   - logger: The logger for lost and established connections, and for missing or refused objects on the broker.
    ///     Defaults to swift-log's logger with the label `eventbus.rabbitmq`. For silence, pass one with a
    ///     `SwiftLogNoOpLogHandler`. It is called from a separate task, never on an I/O thread.
    /// - Throws: ``/EventBus/EventBusError``: `.invalidConfiguration`, which names the value, or `.unavailable` if the
    ///   process has no thread or descriptor left.
    public convenience init(
        _ configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) throws(EventBusError) {
        try self.init(configuration, logger: logger, metrics: TransportMetrics())
    }

    init(_ configuration: RabbitConfiguration, logger: Logger, metrics: TransportMetrics?) throws(EventBusError) {
        try configuration.validate()
        let monitor = TransportMonitor(metrics: metrics)
        self.clock = .continuous
        self.configuration = configuration
        let logger = BackgroundLogger(logger)
        let publishThread = try ConnectionThread(name: "eventbus-pub")
        let replyThread = try ConnectionThread(name: "eventbus-rep")
        let health = ConnectionHealth(livenessTimeout: configuration.livenessTimeout, monitor: monitor)
        func makePublisher(on thread: ConnectionThread) -> RabbitPublisher {
            RabbitPublisher(
                thread: thread,
                maximumCount: configuration.maximumUnconfirmedEvents,
                maximumBytes: configuration.maximumUnconfirmedBytes,
                onRefusal: { refusal in
                    logger.info("RabbitMQ rejects events", metadata: ["reason": "\(refusal.text)"])
                },
                onConfirm: monitor.onConfirm
            )
        }
        let republishes = makePublisher(on: publishThread)
        let watch = SendTimeoutMonitor()
        let managers = try ConsumerManagers(capacity: configuration.maximumConsumersPerConnection) {
            number,
            missedDelays,
            restorations throws(EventBusError) in
            ConsumerManager(
                number: number,
                thread: try ConnectionThread(name: "eventbus-con"),
                configuration: configuration,
                publisher: republishes,
                health: health,
                watch: watch,
                logger: logger,
                missedDelays: missedDelays,
                restorations: restorations
            )
        }
        self.core = Core(
            publishThread: publishThread,
            publisher: makePublisher(on: publishThread),
            replies: makePublisher(on: replyThread),
            replyThread: replyThread,
            replyDemand: ReplyDemand(),
            republishes: republishes,
            requests: RequestClient(thread: publishThread),
            managers: managers,
            tools: DeadLetterTools(
                configuration: configuration,
                managers: managers,
                publisher: republishes,
                watch: watch,
                logger: logger
            ),
            health: health,
            watch: watch,
            logger: logger
        )
    }

    // MARK: Running

    /// Connects and stays connected until the task is cancelled.
    ///
    /// - Throws: ``/EventBus/EventBusError``: `.authenticationFailed`, `.accessRefused`, `.topologyClash` or `.notFound`
    ///   if the first connection shows that another attempt cannot succeed; `.alreadyRunning`.
    public func run() async throws {
        guard hasRun.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            throw EventBusError(.alreadyRunning, "the transport runs already, or has run; make a new one")
        }
        LinkedLibrary.log(to: core.logger)
        var failure: EventBusError?
        do {
            try await core.watch.watching {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.keepPublishing() }
                    group.addTask { try await self.keepConsuming() }
                    group.addTask { await self.keepReplying() }
                    group.addTask { await self.core.health.monitor.run() }
                    group.addTask { await self.core.managers.shareRestorations() }
                    group.addTask { await DelayRestorer(tools: self.core.tools).run(self.core.managers.missedDelays) }
                    group.addTask {
                        await waitUntilCancelled()
                        // Otherwise the restorer would wait for a silent broker.
                        await self.core.tools.end()
                    }
                    defer { group.cancelAll() }
                    // The first error ends the others.
                    while try await group.next() != nil {}
                }
            }
        } catch let error as EventBusError {
            failure = error
            core.health.failed(error)
        }
        let ending = failure ?? EventBusError(.shuttingDown, "the transport was shut down")
        await core.publisher.end(ending)
        await core.replies.end(ending)
        await core.republishes.end(ending)
        await core.requests.end(ending)
        await core.managers.end(ending)
        await core.tools.end()
        core.health.monitor.finish()
        if let failure { throw failure }
    }

    private func loop(
        _ role: ConnectionHealth.Role,
        on thread: ConnectionThread,
        onFailure: @escaping @Sendable (AMQPFailure) async -> Void = { _ in }
    ) -> ReconnectLoop {
        core.health.started(role)
        return ReconnectLoop(
            role: role,
            configuration: configuration,
            thread: thread,
            watch: core.watch,
            health: core.health,
            logger: core.logger,
            onFailure: onFailure
        )
    }

    private func keepPublishing() async throws {
        let side = PublishConnectionHandler(
            publisher: core.publisher,
            republishes: core.republishes,
            requests: core.requests,
            managers: core.managers,
            health: core.health,
            configuration: configuration,
            logger: core.logger
        )
        try await loop(.publish, on: core.publishThread, onFailure: { await side.note($0) }).run(
            onEvent: { side.handle($0) },
            serve: { connection throws(EventBusError) in try await side.serve(connection) },
            shutDown: { connection in
                // The outcome of what the tools have sent decides which dead letters they remove.
                await self.core.tools.end()
                let deadline = MonotonicTime.now.advanced(by: .seconds(2))
                await self.core.publisher.drain(until: deadline)
                await self.core.republishes.drain(until: deadline)
                await connection.close()
            }
        )
    }

    /// Keeps the connection for replies established from the first reply on. Nothing that happens to it ends the
    /// transport.
    private func keepReplying() async {
        guard await core.replyDemand.wait() else { return }
        let side = ReplyConnectionHandler(replies: core.replies, health: core.health, logger: core.logger)
        let loop = loop(.reply, on: core.replyThread, onFailure: { await side.replies.note($0) })
        // A reply that is sent just before a shutdown may still wait for the connection.
        let connecting = Task {
            while !Task.isCancelled {
                do throws(EventBusError) {
                    try await loop.run(
                        onEvent: { side.handle($0) },
                        serve: { connection in await side.serve(connection) },
                        shutDown: { await $0.close() }
                    )
                } catch {
                    core.logger.info("no connection for replies", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: configuration.reconnect.maximum)
                }
            }
        }
        await waitUntilCancelled()
        await core.replies.drainAll(until: .now.advanced(by: .seconds(2)))
        connecting.cancel()
        await connecting.value
    }

    private func keepConsuming() async throws {
        await withDiscardingTaskGroup { group in
            for await manager in core.managers.arrivals {
                group.addTask {
                    do {
                        try await self.keepConsuming(manager)
                    } catch {
                        self.core.managers.finish(error)
                    }
                }
            }
            group.cancelAll()
        }
        if let error = core.managers.failure { throw error }
    }

    private func keepConsuming(_ manager: ConsumerManager) async throws {
        let (health, role) = (core.health, ConnectionHealth.Role.consuming(manager.number))
        try await loop(role, on: manager.thread).run(
            onEvent: { event in
                if case .blocked(let reason) = event { health.setBlocked(role, reason: reason) }
                if case .unblocked = event { health.setBlocked(role, reason: nil) }
            },
            serve: { connection throws(EventBusError) in
                health.connected(role)
                return await manager.serve(connection)
            },
            shutDown: { connection in
                await manager.flushAll()
                await connection.close()
            }
        )
    }

    // MARK: Consuming

    /// Declares a subscription's queue and its bindings, and starts to deliver.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await core.managers.attach(queue, to: sink)
    }

    /// Returns the dead letters of `group`.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        RabbitDeadLetterQueue(group: group, tools: core.tools)
    }

    /// The delayed events of all groups in the virtual host whose queue was missing when they were due. Health reports
    /// count them as `unroutable_delays`. A retry can be replayed when its queue exists again. Scheduled events without
    /// a subscription have no queue, and can only be read and discarded.
    public var unroutableDelays: any DeadLetterQueue {
        RabbitDeadLetterQueue(unroutableDelaysWith: core.tools)
    }

    /// Returns the events that wait in a queue, for a queue whose subscription no longer exists.
    ///
    /// Reading takes them from the queue for the time of a pass, so consumers of the queue receive them late. They are
    /// sent to another queue with `replay` and ``/EventBus/ReplayOptions/queue``, as first attempts:
    ///
    /// ```swift
    /// let options = ReplayOptions(queue: "inventory.orders")
    /// let moved = try await transport.waitingEvents(in: "inventory.order-created").replayAll(options: options)
    /// ```
    ///
    /// The reason of their failure is `waiting`. They cannot be restored.
    public func waitingEvents(in queue: String) -> any DeadLetterQueue {
        RabbitDeadLetterQueue(waitingIn: queue, tools: core.tools)
    }

    // MARK: Health

    /// Returns the state of the connections and of every consumer.
    public func health() -> [ComponentHealth] {
        core.health.report(
            prefix: "transport.rabbitmq",
            publishDetails: [
                "unconfirmed": core.publisher.unconfirmed.load(ordering: .relaxed),
                "waiting": core.publisher.waiting.load(ordering: .relaxed),
                "republishing": core.republishes.unconfirmed.load(ordering: .relaxed)
                    + core.republishes.waiting.load(ordering: .relaxed),
            ]
        )
    }
}

extension Transport where Self == RabbitTransport {
    /// Returns a transport to RabbitMQ with this configuration.
    ///
    /// ```swift
    /// let bus = try EventBus(transport: .rabbit(configuration))
    /// ```
    ///
    /// - Throws: ``/EventBus/EventBusError``, see ``RabbitTransport/init(_:logger:)``.
    public static func rabbit(
        _ configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) throws(EventBusError) -> RabbitTransport {
        try RabbitTransport(configuration, logger: logger)
    }
}
