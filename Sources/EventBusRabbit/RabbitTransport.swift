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

    private let configuration: RabbitConfiguration
    private let problem: EventBusError?
    private let core: Core?

    /// Everything that needs threads.
    private struct Core: Sendable {
        let publishThread: ConnectionThread
        let consumeThread: ConnectionThread
        let lane: PublishLane
        /// Has a channel of its own: what a requester makes us send does not disturb what we publish.
        let replies: PublishLane
        /// Retries and dead letters have a window of their own: a queue that confirms nothing does not fill that of others.
        let republishes: PublishLane
        let requests: RequestLane
        let hub: ConsumerHub
        let tools: DeadLetterTools
        let board: HealthBoard
        let watch: SendWatch
        let logger: BackgroundLogger
    }

    private let hasRun = Atomic(false)
    private let lastRequest = Atomic<UInt64>(0)

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
            let consumeThread = try ConnectionThread(name: "eventbus-con")
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
            let hub = ConsumerHub(
                thread: consumeThread,
                configuration: configuration,
                lane: republishes,
                board: board,
                watch: watch,
                logger: logger
            )
            core = Core(
                publishThread: publishThread,
                consumeThread: consumeThread,
                lane: makeLane(),
                replies: makeLane(),
                republishes: republishes,
                requests: RequestLane(thread: publishThread),
                hub: hub,
                tools: DeadLetterTools(
                    configuration: configuration,
                    hub: hub,
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

    private func requireCore() throws(EventBusError) -> Core {
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
        core.board.started()
        var failure: EventBusError?
        do {
            try await core.watch.watching {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.keepPublishing(core) }
                    group.addTask { try await self.keepConsuming(core) }
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
        await core.hub.end(ending)
        await core.tools.end()
        if let failure { throw failure }
    }

    private func loop(
        _ role: HealthBoard.Role,
        on thread: ConnectionThread,
        _ core: Core,
        onFailure: @escaping @Sendable (AMQPFailure) async -> Void = { _ in }
    ) -> ConnectionLoop {
        ConnectionLoop(
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
            hub: core.hub,
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
        let board = core.board
        try await loop(.consume, on: core.consumeThread, core).run(
            onEvent: { event in
                if case .blocked(let reason) = event { board.setBlocked(.consume, reason: reason) }
                if case .unblocked = event { board.setBlocked(.consume, reason: nil) }
            },
            serve: { connection throws(EventBusError) in
                board.connected(.consume)
                return await core.hub.serve(connection)
            },
            shutDown: { connection in
                await core.hub.flushAll()
                await connection.close()
            }
        )
    }

    // MARK: publishing

    /// Sends one event and waits until the broker has confirmed it.
    public func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        let core = try requireCore()
        let publish = try makePublish(envelope, delay: options.delay)
        return try await send(publish, options, core)
    }

    /// Sends an event; where that shows that something of ours is missing on the broker, declares it and sends again.
    private func send(
        _ publish: AMQPPublish,
        _ options: TransportPublishOptions,
        _ core: Core
    ) async throws -> PublishOutcome {
        let deadline = monotonic(options.deadline)
        let outcome = options.delay > .zero ? PublishOutcome.scheduled : .routed
        var result = try await core.lane.publish(publish, outcome: outcome, deadline: deadline)
        var repetitions = 0
        while result == .unroutable, repetitions < 6, isEvidence(publish, options, core), MonotonicTime.now < deadline,
            await core.hub.declareAgain("an event to \(publish.exchange) found no queue")
        {
            // A queue that was deleted is declared by its consumer, which hears of it at the same time.
            if repetitions > 0 { try await Task.sleep(for: .milliseconds(10) * (1 << repetitions)) }
            repetitions += 1
            result = try await core.lane.publish(publish, outcome: outcome, deadline: deadline)
        }
        return result
    }

    /// Whether an event that no queue took shows that a queue or a binding is missing: a delay level takes every event,
    /// and what a subscription of ours asks for has a queue.
    private func isEvidence(_ publish: AMQPPublish, _ options: TransportPublishOptions, _ core: Core) -> Bool {
        options.delay > .zero || core.hub.expects(publish.routingKey)
    }

    /// Sends many events in order and keeps the window full.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        guard !envelopes.isEmpty else { return [] }
        guard let core else { return envelopes.map { _ in .failure(problem ?? CancellationError()) } }
        let batch = PublishBatch(count: envelopes.count)
        var publishes: [(index: Int, publish: AMQPPublish)] = []
        publishes.reserveCapacity(envelopes.count)
        for (index, envelope) in envelopes.enumerated() {
            do throws(EventBusError) {
                publishes.append((index, try makePublish(envelope, delay: options.delay)))
            } catch {
                batch.resolve(index, .failure(error))
            }
        }
        var results = await core.lane.publish(
            publishes,
            of: batch,
            outcome: options.delay > .zero ? .scheduled : .routed,
            deadline: monotonic(options.deadline)
        )
        for (index, publish) in publishes {
            guard case .success(.unroutable) = results[index], isEvidence(publish, options, core) else { continue }
            do {
                results[index] = .success(try await send(publish, options, core))
            } catch {
                results[index] = .failure(error)
            }
        }
        return results
    }

    private func makePublish(
        _ envelope: Envelope,
        delay: Duration,
        _ properties: AMQPProperties? = nil
    ) throws(EventBusError) -> AMQPPublish {
        try envelope.validate()
        let (exchange, routingKey): (String, String)
        if delay > .zero {
            let route = try DelayRoute(
                delay: delay,
                to: configuration.scheduling == .shared
                    ? .sharedTopic(envelope.topic) : .topic(envelope.topic, exchange: configuration.exchange)
            )
            (exchange, routingKey) = (route.exchange, route.routingKey)
        } else {
            (exchange, routingKey) = (configuration.exchange, envelope.topic.rawValue)
        }
        let publish = AMQPPublish(
            exchange: exchange,
            routingKey: routingKey,
            properties: properties ?? AMQPProperties(envelope),
            body: envelope.payload
        )
        try checkSize(publish)
        return publish
    }

    /// The limits of the configuration; those of the connection are checked when there is one.
    private func checkSize(_ publish: AMQPPublish) throws(EventBusError) {
        try TransportLimits.check(bodySize: publish.body.count, maximum: configuration.maximumBodySize)
        guard !publish.properties.headers.isEmpty else { return }
        let size = publish.properties.encodedSize
        if size > TransportLimits.maximumHeaderSize {
            throw EventBusError(
                .tooLarge,
                "the headers have \(size) bytes, \(TransportLimits.maximumHeaderSize) are allowed"
            )
        }
    }

    private func monotonic(_ deadline: AnyClock.Instant) -> MonotonicTime {
        .now.advanced(by: clock.now.duration(to: deadline))
    }

    // MARK: requests

    /// Sends a request and waits for its reply.
    public func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        let core = try requireCore()
        var properties = AMQPProperties(envelope)
        // The correlation id is what foreign responders send back, so it tells requests apart here, and the chain of
        // causes travels beside it.
        let id = "\(envelope.id.rawValue)/\(lastRequest.wrappingAdd(1, ordering: .relaxed).newValue)"
        if let chain = properties.correlationID { properties.headers[WireHeaders.correlationID] = .string(chain) }
        let ownID = String(id.suffix(AMQPProperties.maximumTextLength))
        properties.correlationID = ownID
        properties.replyTo = RequestLane.replyQueue
        let message = try await core.requests.request(
            try makePublish(envelope, delay: .zero, properties),
            id: ownID,
            deadline: monotonic(deadline)
        )
        // It came as the answer to this request, whatever else it says of itself.
        let decoder = MessageDecoder(events: configuration.exchange, patterns: [TopicPattern(envelope.topic)])
        do throws(NoTopic) {
            var reply = try decoder.decode(message).envelope
            reply.topic = envelope.topic
            if message.properties.headers[WireHeaders.correlationID] == nil {
                reply.correlationID = envelope.correlationID
            }
            return reply
        } catch {
            throw EventBusError(.decodingFailed, "the reply is no event: \(error)", underlying: error)
        }
    }

    /// Sends the reply to a request, once.
    public func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        let core = try requireCore()
        try envelope.validate()
        var properties = AMQPProperties(envelope)
        properties.correlationID = address.requestID
        if let chain = envelope.correlationID {
            properties.headers[WireHeaders.correlationID] = .string(chain.rawValue)
        }
        let publish = AMQPPublish(
            exchange: "",
            routingKey: address.address,
            // A mandatory reply is always returned: the address is no queue.
            isMandatory: false,
            properties: properties,
            body: envelope.payload
        )
        try checkSize(publish)
        guard address.address.utf8.count <= AMQPProperties.maximumTextLength,
            address.requestID.utf8.count <= AMQPProperties.maximumTextLength
        else { throw EventBusError(.invalidEnvelope, "the reply's address is longer than 255 bytes") }
        core.replies.send(publish, deadline: .now.advanced(by: .seconds(30)))
    }

    // MARK: consuming

    /// Declares a subscription's queue and its bindings and begins to deliver.
    public func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await requireCore().hub.attach(queue, to: sink)
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
