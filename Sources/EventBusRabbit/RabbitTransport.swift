import ConnectionThread
public import EventBus
public import Logging
import Synchronization

/// Carries events over RabbitMQ 3.10 or later.
///
/// Two connections, one for publishing and one for consuming, each on a thread of its own; a channel for each
/// subscription. Every publish is confirmed by the broker, and one that no queue takes is reported. Lost connections are
/// made again, with what was declared, consumed and not yet confirmed.
///
/// ```swift
/// let configuration = try RabbitConfiguration(uri: "amqp://orders:secret@rabbit.internal/shop")
/// let bus = EventBus(transport: .rabbit(configuration, logger: logger))
/// ```
public final class RabbitTransport: Transport {
    /// `rabbitmq`.
    public var name: String { "rabbitmq" }
    /// The system's continuous clock.
    public let clock: AnyClock

    let configuration: RabbitConfiguration
    let problem: EventBusError?
    let core: Core?

    /// Everything that needs threads.
    struct Core: Sendable {
        let publishThread: ConnectionThread
        let lane: PublishLane
        /// Has a channel of its own: what a requester makes us send does not disturb what we publish.
        let replies: PublishLane
        /// Retries and dead letters have a window of their own: a queue that confirms nothing does not fill that of others.
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

    /// A transport that connects when it runs. What is wrong with the configuration is thrown then, too.
    ///
    /// - Parameters:
    ///   - configuration: Where the broker is and how to use it.
    ///   - logger: Where to report connections lost and made, and what is missing or refused on the broker. Defaults to
    ///     swift-log's logger with the label `eventbus.rabbitmq`; for silence give one with a `SwiftLogNoOpLogHandler`. It
    ///     is called from a task of its own, never on an I/O thread.
    public init(_ configuration: RabbitConfiguration, logger: Logger = Logger(label: "eventbus.rabbitmq")) {
        self.clock = .continuous
        self.configuration = configuration
        var problem: EventBusError?
        var core: Core?
        do throws(EventBusError) {
            try configuration.validate()
            let logger = BackgroundLogger(logger)
            let publishThread = try ConnectionThread(name: "eventbus-pub")
            let board = HealthBoard(livenessTimeout: configuration.livenessTimeout)
            func makeLane() -> PublishLane {
                PublishLane(
                    thread: publishThread,
                    maximumCount: configuration.maximumUnconfirmedEvents,
                    maximumBytes: configuration.maximumUnconfirmedBytes,
                    onRefusal: { refusal in
                        logger.info("RabbitMQ refuses events", metadata: ["reason": "\(refusal.text)"])
                    }
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
            core = Core(
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
        } catch {
            problem = error
        }
        self.problem = problem
        self.core = core
    }

    func requireCore() throws(EventBusError) -> Core {
        guard let core else { throw problem ?? EventBusError(.unavailable, "no threads") }
        return core
    }

    // MARK: running

    /// Connects and keeps connected until the task is cancelled.
    ///
    /// - Throws: ``/EventBus/EventBusError``: `.authenticationFailed`, `.accessRefused`, `.topologyClash`, `.notFound` or
    ///   `.invalidConfiguration` where the first connection shows that trying again is no use; `.alreadyRunning`.
    public func run() async throws {
        let core = try requireCore()
        guard hasRun.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            throw EventBusError(.alreadyRunning, "the transport runs already, or has run; make a new one")
        }
        LinkedLibrary.log(to: core.logger)
        var failure: EventBusError?
        do {
            try await core.watch.watching {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.keepPublishing(core) }
                    group.addTask { try await self.keepConsuming(core) }
                    group.addTask { await DelayRestorer(tools: core.tools).run(core.hubs.restorations) }
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
        if let failure { throw failure }
    }

    private func loop(
        _ role: HealthBoard.Role,
        on thread: ConnectionThread,
        _ core: Core,
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

    private func keepPublishing(_ core: Core) async throws {
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
        try await loop(.publish, on: core.publishThread, core, onFailure: { await side.note($0) }).run(
            onEvent: { side.handle($0) },
            serve: { connection throws(EventBusError) in try await side.serve(connection) },
            shutDown: { connection in
                let deadline = MonotonicTime.now.advanced(by: .seconds(2))
                await core.lane.drain(until: deadline)
                await core.replies.drain(until: deadline)
                await core.republishes.drain(until: deadline)
                await connection.close()
            }
        )
    }

    private func keepConsuming(_ core: Core) async throws {
        await withDiscardingTaskGroup { group in
            for await hub in core.hubs.arrivals {
                group.addTask {
                    do {
                        try await self.keepConsuming(hub, core)
                    } catch {
                        core.hubs.finish(error)
                    }
                }
            }
            group.cancelAll()
        }
        if let error = core.hubs.failure { throw error }
    }

    private func keepConsuming(_ hub: ConsumerHub, _ core: Core) async throws {
        let (board, role) = (core.board, HealthBoard.Role.consuming(hub.number))
        try await loop(role, on: hub.thread, core).run(
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

    // MARK: consuming

    /// Declares a subscription's queue and its bindings and begins to deliver.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await requireCore().hubs.attach(queue, to: sink)
    }

    /// The dead letters of `group`.
    public func deadLetters(of group: String) -> any DeadLetterQueue {
        guard let core else { return UnavailableDeadLetters(problem: problem) }
        return RabbitDeadLetterQueue(group: group, tools: core.tools)
    }

    /// The delayed events of the virtual host, of all groups, whose queue was gone at the end of their delay: health
    /// counts them as `unroutable_delays`. A retry is replayed to its queue once that is there again; scheduled events
    /// that no one subscribed to have no queue and can be read and discarded only.
    public var unroutableDelays: any DeadLetterQueue {
        guard let core else { return UnavailableDeadLetters(problem: problem) }
        return RabbitDeadLetterQueue(unroutableDelaysWith: core.tools)
    }

    // MARK: health

    /// The state of both connections and of every consumer.
    public func health() -> [ComponentHealth] {
        guard let core else {
            return [ComponentHealth(name: "transport.rabbitmq", status: .failed, reason: problem?.description)]
        }
        return core.board.report(
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
    /// RabbitMQ, reached as `configuration` says.
    public static func rabbit(
        _ configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) -> RabbitTransport {
        RabbitTransport(configuration, logger: logger)
    }
}
