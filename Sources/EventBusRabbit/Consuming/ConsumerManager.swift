import ConnectionThread
import EventBus
import Synchronization

/// A manager that keeps all consumers attached on the current connection.
///
/// For each consumer, a task declares its queue, consumes it on a separate channel, waits until the channel is closed,
/// and starts again. Deliveries pass through on the connection's thread and are only stored.
actor ConsumerManager {
    /// The number of the manager's connection among those of the transport, from 0.
    nonisolated let number: Int
    let thread: ConnectionThread
    let configuration: RabbitConfiguration
    let plan: TopologyPlan
    let publisher: RabbitPublisher
    let health: ConnectionHealth
    let watch: SendTimeoutMonitor
    let logger: BackgroundLogger
    /// The connection for crash records. A record whose queue has no leader ends the connection on which it is read.
    let records: SideConnection

    var sessions: [UInt64: ConsumerSession] = [:]
    /// The sessions whose events of a deleted queue are being sent to the new one, by their consumers.
    var orphanSenders: [UInt64: ConsumerSession] = [:]
    var lastID: UInt64
    /// The number of reserved places, for consumers that are or will be among the sessions.
    private nonisolated let reserved = Atomic<Int>(0)
    /// The number of consumers for which the connection has channels, as far as it is known.
    nonisolated let room = Atomic<Int>(.max)
    var lastGeneration: UInt64 = 0
    var connection: RabbitConnection?
    var connectionWaiters: [CheckedContinuation<Void, Never>] = []
    var arrivals: AsyncStream<UInt64>.Continuation?
    var watchWaiter: CheckedContinuation<Void, Never>?
    /// The declaration in progress.
    var restoration: Task<Bool, Never>?
    /// The end of the last declaration, and whether everything existed.
    var lastRestoration: (time: MonotonicTime, isThere: Bool)?
    /// The declarations in progress of queues of dead letters, by their groups.
    var deadLetterChecks: [String: Task<Bool, Never>] = [:]
    /// The reason why a queue could not be bound again.
    var unbound: String?
    /// The subscriptions that have been attached, by their consumers.
    nonisolated let expected = Locked<[UInt64: QueueSpecification]>([:])
    /// The subscriptions that will attach again and have no consumer meanwhile, by their latest consumers.
    nonisolated let kept = Locked<[UInt64: QueueSpecification]>([:])
    /// The receiver of reports about delayed events that matched no queue.
    let missedDelays: MissedDelays
    /// The receiver of this manager's number whenever it has declared missing objects again.
    let restorations: AsyncStream<Int>.Continuation
    var ended: EventBusError?

    init(
        number: Int,
        thread: ConnectionThread,
        configuration: RabbitConfiguration,
        publisher: RabbitPublisher,
        health: ConnectionHealth,
        watch: SendTimeoutMonitor,
        logger: BackgroundLogger,
        missedDelays: MissedDelays,
        restorations: AsyncStream<Int>.Continuation
    ) {
        self.number = number
        // The ids of consumers are unique in the whole transport.
        self.lastID = UInt64(number) << 32
        self.thread = thread
        self.configuration = configuration
        self.plan = TopologyPlan(configuration)
        self.publisher = publisher
        self.health = health
        self.watch = watch
        self.logger = logger
        self.records = SideConnection(
            configuration: configuration,
            thread: thread,
            watch: watch,
            role: "crash-records"
        )
        self.missedDelays = missedDelays
        self.restorations = restorations
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    // MARK: Calls of the transport

    /// Reserves a place for a consumer, if fewer than `capacity` are reserved.
    nonisolated func reserve(below capacity: Int) -> Bool {
        let places = min(capacity, room.load(ordering: .relaxed))
        if reserved.add(1, ordering: .relaxed).oldValue < places { return true }
        release()
        return false
    }

    private nonisolated func release() {
        reserved.subtract(1, ordering: .relaxed)
    }

    /// Adds a consumer, whose place is reserved, and waits until it is attached for the first time.
    ///
    /// - Parameter endsOnRefusal: `true` to throw errors that a retry cannot fix, and `false` to wait until someone has
    ///   fixed them.
    /// - Throws: ``NoRoom`` if the connection has no channel for the consumer.
    func attach(
        _ specification: QueueSpecification,
        to sink: any DeliverySink,
        endsOnRefusal: Bool
    ) async throws -> RabbitConsumer {
        do {
            if let ended { throw ended }
            try Task.checkCancellation()
            try checkRoom()
            guard !specification.broadcast || configuration.queues[specification.queueName] == nil else {
                throw EventBusError(
                    .invalidConfiguration,
                    "\(specification.queueName) is a broadcast, whose queues belong to its connections"
                )
            }
        } catch {
            release()
            throw error
        }
        lastID += 1
        let id = lastID
        let consumer = RabbitConsumer(
            id: id,
            specification: specification,
            queueName: configuration.queueName(of: specification),
            sink: sink,
            decoder: MessageDecoder(
                events: configuration.exchange,
                patterns: specification.patterns,
                countsRedeliveries: configuration.queueType == .quorum && !specification.broadcast,
                replyQueues: ReplyQueues(allowed: configuration.allowedReplyQueues)
            ),
            manager: self,
            publisher: publisher
        )
        let session = ConsumerSession(consumer, endsOnRefusal: endsOnRefusal)
        sessions[id] = session
        arrivals?.yield(id)
        report(session)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                session.attachWaiter = continuation
                if Task.isCancelled { cancelAttach(id) }
            }
        } onCancel: {
            thread.execute { [weak self] in self?.assumeIsolated { $0.cancelAttach(id) } }
        }
        do {
            try result.get()
        } catch {
            await close(id, waiting: false)
            if session.isSurplus { try throwNoRoom() }
            if Task.isCancelled { throw CancellationError() }
            throw error
        }
        return consumer
    }

    func cancelAttach(_ id: UInt64) {
        sessions[id]?.resolveAttach(.failure(EventBusError(.shuttingDown, "attaching was cancelled")))
    }

    /// Cancels the consumer. Its channel stays open, so that its deliveries can be settled.
    ///
    /// Do not use it for a queue with a single active consumer, because the next consumer would start while this one
    /// still has earlier deliveries.
    func stop(_ id: UInt64) async {
        guard let session = sessions[id], session.isWanted else { return }
        let wasAttached = session.phase == .attached
        session.phase = .stopped
        expected.withLock { $0[id] = nil }
        session.wake()
        if wasAttached, let connection {
            _ = try? await connection.call(.basicCancel(tag: Self.tag(session)), on: session.channel)
        }
        report(session)
    }

    /// Closes the consumer's channel without `basic.cancel`, and opens another one. The broker returns all unsettled
    /// deliveries in order, and activates the queue's next consumer in the same step.
    func reopen(_ id: UInt64) async {
        guard let session = sessions[id], session.phase == .attached else { return }
        flush(session)
        await clearCrashRecord(session)
        guard session.phase == .attached else { return }
        reattach(session, "deliveries waited too long")
    }

    /// Ends the consumer. Its unsettled deliveries are returned in order, because the channel is closed without
    /// `basic.cancel`.
    ///
    /// - Parameter waiting: `true` to return only after the broker has returned them.
    func close(_ id: UInt64, waiting: Bool = true) async {
        guard let session = sessions[id], session.phase != .closed else { return }
        flush(session)
        session.phase = .closed
        await clearCrashRecord(session)
        let channel = session.channel
        flush(session)
        session.wake()
        session.resolveAttach(.failure(EventBusError(.shuttingDown, "the consumer was closed")))
        reportOrphans(of: session)
        sessions[id] = nil
        release()
        expected.withLock { $0[id] = nil }
        health.removeConsumer(id)
        session.consumer.end(generation: session.generation)
        guard let connection else { return }
        if channel != 0 {
            if waiting {
                await connection.closeChannel(channel)
            } else {
                await connection.closeChannelWithoutWaiting(channel)
            }
        }
        await deleteBroadcastQueue(of: session)
    }

    /// Waits for a connection. Throws if the transport has ended, the deadline passed or the task was cancelled.
    func waitForConnection(until deadline: MonotonicTime) async throws -> RabbitConnection {
        while true {
            if let ended { throw ended }
            if let connection { return connection }
            if MonotonicTime.now >= deadline {
                throw EventBusError(.unavailable, "there is no connection to the broker")
            }
            thread.schedule(at: deadline) { [weak self] in self?.assumeIsolated { $0.wakeConnectionWaiters() } }
            await withTaskCancellationHandler {
                await withCheckedContinuation { connectionWaiters.append($0) }
            } onCancel: {
                thread.execute { [weak self] in self?.assumeIsolated { $0.wakeConnectionWaiters() } }
            }
            try Task.checkCancellation()
        }
    }

    func wakeConnectionWaiters() {
        let waiters = connectionWaiters
        connectionWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Refuses everything from now on.
    func end(_ error: EventBusError) async {
        ended = error
        wakeConnectionWaiters()
        for session in sessions.values { session.resolveAttach(.failure(error)) }
        for session in orphanSenders.values { abandonOrphans(of: session) }
        await records.end()
    }

    // MARK: Connected state

    /// Keeps all consumers attached until the connection ends, and returns the reason.
    func serve(_ connection: RabbitConnection) async -> AMQPFailure {
        self.connection = connection
        makeRoom(await connection.channelMaximum)
        wakeConnectionWaiters()
        let (stream, continuation) = AsyncStream.makeStream(of: UInt64.self)
        arrivals = continuation
        for id in sessions.keys.sorted() { continuation.yield(id) }
        // Work that ends with the connection, and not with the caller's cancellation.
        let failure = await withTaskGroup(of: AMQPFailure?.self) { group in
            group.addTask { await self.waitForEnd(of: connection) }
            group.addTask {
                await self.watchConsumers(on: connection)
                return nil
            }
            for await id in stream {
                group.addTask {
                    await self.keepAttached(id, on: connection)
                    return nil
                }
            }
            var failure: AMQPFailure?
            for await result in group { failure = result ?? failure }
            return failure
        }
        self.connection = nil
        return failure ?? AMQPFailure(.connectionLost, "")
    }

    func waitForEnd(of connection: RabbitConnection) async -> AMQPFailure {
        let failure = await connection.waitUntilClosed()
        arrivals?.finish()
        arrivals = nil
        self.connection = nil
        for session in sessions.values {
            detached(session, failure)
            if session.phase == .suspended { session.phase = .detached }
            session.broadcastQueue = nil
            session.wake()
        }
        wakeWatch()
        return failure
    }

    /// Attaches a consumer repeatedly, until the connection ends or the consumer is no longer wanted.
    func keepAttached(_ id: UInt64, on connection: RabbitConnection) async {
        var failures = 0
        while let session = sessions[id], session.isWanted, await connection.isOpen {
            do throws(AMQPFailure) {
                try await establish(session, on: connection)
                failures = 0
                while session.hasQueue { await sleep(session, until: nil) }
            } catch {
                guard error.isChannelOnly else { break }
                session.lastFailure = error.isQueueDown ? AMQPFailure(.queueDown, error.text) : error
                let busError = error.busError(while: "attaching \(session.consumer.specification.queueName)")
                report(session)
                if error.isPermanent, session.endsOnRefusal, session.attachWaiter != nil {
                    return session.resolveAttach(.failure(busError))
                }
                logger.info("could not attach a consumer", metadata: ["error": "\(busError)"])
            }
            guard session.isWanted, await connection.isOpen else { break }
            failures += 1
            // Whether it was deleted has to be known before another instance of the service declares it again.
            if failures == 1, session.hasLostQueue { continue }
            let bound = min(Duration.milliseconds(50) * (1 << min(failures, 8)), .seconds(5))
            await sleep(session, until: .now.advanced(by: bound * Double.random(in: 0.5...1)))
        }
    }

    /// Suspends the consumer's task until it is woken or the deadline has passed.
    func sleep(_ session: ConsumerSession, until deadline: MonotonicTime?) async {
        let timer = deadline.map { deadline in
            thread.schedule(at: deadline) { [weak self, id = session.consumer.id] in
                self?.assumeIsolated { $0.sessions[id]?.wake() }
            }
        }
        await withCheckedContinuation { session.wakeUp = $0 }
        if let timer { thread.cancel(timer) }
    }

    /// Declares the queue and consumes it, unless the consumer is suspended.
    func establish(_ session: ConsumerSession, on connection: RabbitConnection) async throws(AMQPFailure) {
        let specification = session.consumer.specification
        session.phase = .attaching
        lastGeneration += 1
        let generation = lastGeneration
        let queueName = queueName(of: session)
        do throws(AMQPFailure) {
            try await findLostQueue(of: session, on: connection)
            let isNew = try await declare(specification, name: queueName, on: connection)
            if session.isSuspended, session.phase == .attaching {
                session.queueName = queueName
                return await setAside(session)
            }
            try await consume(session, queueName, isNew: isNew, generation: generation, on: connection)
        } catch {
            if session.phase == .closed { await deleteBroadcastQueue(of: session) }
            throw error
        }
        // It may have been declared after the close.
        if session.phase == .closed { await deleteBroadcastQueue(of: session) }
    }

    /// Consumes the queue that was declared, unless the consumer was closed before.
    private func consume(
        _ session: ConsumerSession,
        _ queueName: String,
        isNew: Bool,
        generation: UInt64,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) {
        let specification = session.consumer.specification
        guard session.phase == .attaching else { return }
        if session.isSuspect, !specification.broadcast {
            try await tryConsuming(session, name: queueName)
            guard session.phase == .attaching else { return }
        }

        let id = session.consumer.id
        session.consumer.decoder.replyQueues.connected(to: connection.brokerVersion)
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event, of: id, generation) }
        }
        guard session.phase == .attaching else {
            await connection.closeChannel(channel)
            return
        }
        session.channel = channel
        session.generation = generation
        session.queueName = queueName
        session.tracker = AckTracker()
        session.crashes = .unknown
        session.sightingsWithoutConsumer = 0
        session.sightingsWithoutAnswer = 0
        session.consumer.begin(generation: generation)
        try await connection.call(
            [
                .basicQos(prefetch: UInt16(clamping: max(1, session.prefetch))),
                .basicConsume(
                    queue: queueName,
                    tag: Self.tag(session),
                    arguments: configuration.queues[specification.queueName]?.consumerArguments ?? [:]
                ),
            ],
            on: channel
        )
        if await isUnwatchable(session, on: connection), await isStream(queueName) {
            refuseStream(session)
            return
        }
        guard session.phase == .attaching else {
            // It was stopped meanwhile, which the broker has to be told. The channel of a closed consumer is already
            // closing.
            if session.phase == .stopped {
                try await connection.call(.basicCancel(tag: Self.tag(session)), on: channel)
            }
            return
        }
        session.phase = .attached
        session.lastFailure = nil
        // They are delivered again, because the queue is the same.
        session.undecided = []
        expected.withLock { $0[id] = specification }
        if session.hasLostQueue || isNew {
            session.hasLostQueue = false
            missedDelays.restored()
        } else {
            missedDelays.attached()
        }
        report(session)
        sendOrphans(of: session)
        if session.isSuspended { return await setAside(session) }
        if isNew, session.attachWaiter != nil, configuration.newQueueGracePeriod > .zero {
            await sleep(session, until: .now.advanced(by: configuration.newQueueGracePeriod))
            guard session.phase == .attached else { return }
        }
        session.resolveAttach(.success(()))
    }

    /// Consumes a suspected queue where it affects no other consumer.
    func tryConsuming(_ session: ConsumerSession, name: String) async throws(AMQPFailure) {
        do throws(AMQPFailure) {
            try await QueueProbe(configuration: configuration, thread: thread, watch: watch).run(name)
            session.isSuspect = false
        } catch {
            throw AMQPFailure(error.isQueueDown ? .queueDown : .channelClosed(0), error.description)
        }
    }

    static func tag(_ session: ConsumerSession) -> String {
        "\(session.consumer.specification.queueName)#\(session.generation)"
    }
}
