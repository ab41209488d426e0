import ConnectionThread
public import EventBus
public import Logging
import Synchronization

/// A transport that carries events over RabbitMQ 3.10 or later.
///
/// It has two connections, one for publishing and one for consuming, each on a separate thread, and a channel for each
/// subscription. The broker confirms every publish, and reports events that match no queue. Lost connections are
/// re-established, including declarations, consumers and unconfirmed events.
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
    let core: Core

    /// The parts of a transport that need threads.
    struct Core: Sendable {
        let publishThread: ConnectionThread
        let lane: PublishLane
        /// The lane of replies. It has a separate channel, so that requesters cannot disturb the service's own
        /// publishes.
        let replies: PublishLane
        /// The lane of retries and dead letters. It has a separate window, so that a queue that confirms nothing does
        /// not fill that of others.
        let republishes: PublishLane
        let requests: RequestLane
        let hubs: ConsumerHubs
        let tools: DeadLetterTools
        let board: HealthBoard
        let watch: SendWatch
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
        let board = HealthBoard(livenessTimeout: configuration.livenessTimeout, monitor: monitor)
        func makeLane() -> PublishLane {
            PublishLane(
                thread: publishThread,
                maximumCount: configuration.maximumUnconfirmedEvents,
                maximumBytes: configuration.maximumUnconfirmedBytes,
                onRefusal: { refusal in
                    logger.info("RabbitMQ rejects events", metadata: ["reason": "\(refusal.text)"])
                },
                onConfirm: monitor.onConfirm
            )
        }
        let republishes = makeLane()
        let watch = SendWatch()
        let hubs = try ConsumerHubs(capacity: configuration.maximumConsumersPerConnection) {
            number,
            onRestored throws(EventBusError) in
            ConsumerHub(
                number: number,
                thread: try ConnectionThread(name: "eventbus-con"),
                configuration: configuration,
                lane: republishes,
                board: board,
                watch: watch,
                logger: logger,
                onRestored: onRestored
            )
        }
        self.core = Core(
            publishThread: publishThread,
            lane: makeLane(),
            replies: makeLane(),
            republishes: republishes,
            requests: RequestLane(thread: publishThread),
            hubs: hubs,
            tools: DeadLetterTools(
                configuration: configuration,
                hubs: hubs,
                lane: republishes,
                watch: watch,
                logger: logger
            ),
            board: board,
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
                    group.addTask { await self.core.board.monitor.run() }
                    group.addTask { await DelayRestorer(tools: self.core.tools).run(self.core.hubs.restorations) }
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
            core.board.failed(error)
        }
        let ending = failure ?? EventBusError(.shuttingDown, "the transport was shut down")
        await core.lane.end(ending)
        await core.replies.end(ending)
        await core.republishes.end(ending)
        await core.requests.end(ending)
        await core.hubs.end(ending)
        await core.tools.end()
        core.board.monitor.finish()
        if let failure { throw failure }
    }

    private func loop(
        _ role: HealthBoard.Role,
        on thread: ConnectionThread,
        onFailure: @escaping @Sendable (AMQPFailure) async -> Void = { _ in }
    ) -> ConnectionLoop {
        core.board.started(role)
        return ConnectionLoop(
            role: role,
            configuration: configuration,
            thread: thread,
            watch: core.watch,
            board: core.board,
            logger: core.logger,
            onFailure: onFailure
        )
    }

    private func keepPublishing() async throws {
        let side = PublishSide(
            lane: core.lane,
            replies: core.replies,
            republishes: core.republishes,
            requests: core.requests,
            hubs: core.hubs,
            board: core.board,
            configuration: configuration,
            logger: core.logger
        )
        try await loop(.publish, on: core.publishThread, onFailure: { await side.note($0) }).run(
            onEvent: { side.handle($0) },
            serve: { connection throws(EventBusError) in try await side.serve(connection) },
            shutDown: { connection in
                let deadline = MonotonicTime.now.advanced(by: .seconds(2))
                await self.core.lane.drain(until: deadline)
                await self.core.replies.drain(until: deadline)
                await self.core.republishes.drain(until: deadline)
                await connection.close()
            }
        )
    }

    private func keepConsuming() async throws {
        await withDiscardingTaskGroup { group in
            for await hub in core.hubs.arrivals {
                group.addTask {
                    do {
                        try await self.keepConsuming(hub)
                    } catch {
                        self.core.hubs.finish(error)
                    }
                }
            }
            group.cancelAll()
        }
        if let error = core.hubs.failure { throw error }
    }

    private func keepConsuming(_ hub: ConsumerHub) async throws {
        let (board, role) = (core.board, HealthBoard.Role.consuming(hub.number))
        try await loop(role, on: hub.thread).run(
            onEvent: { event in
                if case .blocked(let reason) = event { board.setBlocked(role, reason: reason) }
                if case .unblocked = event { board.setBlocked(role, reason: nil) }
            },
            serve: { connection throws(EventBusError) in
                board.connected(role)
                return await hub.serve(connection)
            },
            shutDown: { connection in
                await hub.flushAll()
                await connection.close()
            }
        )
    }

    // MARK: Consuming

    /// Declares a subscription's queue and its bindings, and starts to deliver.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await core.hubs.attach(queue, to: sink)
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

    /// Returns the state of both connections and of every consumer.
    public func health() -> [ComponentHealth] {
        core.board.report(
            prefix: "transport.rabbitmq",
            publishDetails: [
                "unconfirmed": core.lane.unconfirmed.load(ordering: .relaxed),
                "waiting": core.lane.waiting.load(ordering: .relaxed),
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
