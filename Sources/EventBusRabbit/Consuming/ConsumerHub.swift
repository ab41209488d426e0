import ConnectionThread
import EventBus
import Logging

/// Keeps every consumer attached, on whatever connection there is.
///
/// For each consumer one task declares its queue, consumes it on a channel of its own, waits until the channel is gone
/// and begins again. Deliveries pass through on the connection's thread and are only stored.
actor ConsumerHub {
    private let thread: ConnectionThread
    private let configuration: RabbitConfiguration
    private let plan: TopologyPlan
    private let lane: PublishLane
    private let board: HealthBoard
    private let logger: Logger

    private var sessions: [UInt64: ConsumerSession] = [:]
    private var lastID: UInt64 = 0
    private var lastGeneration: UInt64 = 0
    private var connection: RabbitConnection?
    private var connectionWaiters: [CheckedContinuation<Void, Never>] = []
    private var arrivals: AsyncStream<UInt64>.Continuation?
    private var watchWaiter: CheckedContinuation<Void, Never>?
    private var ended: EventBusError?

    init(
        thread: ConnectionThread,
        configuration: RabbitConfiguration,
        lane: PublishLane,
        board: HealthBoard,
        logger: Logger
    ) {
        self.thread = thread
        self.configuration = configuration
        self.plan = TopologyPlan(configuration)
        self.lane = lane
        self.board = board
        self.logger = logger
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    // MARK: for the transport

    /// Adds a consumer and waits until it is attached for the first time.
    func attach(_ specification: QueueSpecification, to sink: any DeliverySink) async throws -> RabbitConsumer {
        if let ended { throw ended }
        try Task.checkCancellation()
        lastID += 1
        let id = lastID
        let consumer = RabbitConsumer(id: id, specification: specification, sink: sink, hub: self, lane: lane)
        let session = ConsumerSession(consumer)
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
            await close(id)
            if Task.isCancelled { throw CancellationError() }
            throw error
        }
        return consumer
    }

    private func cancelAttach(_ id: UInt64) {
        sessions[id]?.resolveAttach(.failure(EventBusError(.shuttingDown, "attaching was cancelled")))
    }

    /// Cancels the consumer; its channel stays, for what was delivered to be settled.
    func stop(_ id: UInt64) async {
        guard let session = sessions[id], session.isWanted else { return }
        let wasAttached = session.phase == .attached
        session.phase = .stopped
        session.wake()
        if wasAttached, let connection {
            _ = try? await connection.call(.basicCancel(tag: Self.tag(session)), on: session.channel)
        }
        report(session)
    }

    /// Ends the consumer; what it has not settled goes back.
    func close(_ id: UInt64) async {
        guard let session = sessions[id], session.phase != .closed else { return }
        let channel = session.channel
        flush(session)
        session.phase = .closed
        session.wake()
        session.resolveAttach(.failure(EventBusError(.shuttingDown, "the consumer was closed")))
        sessions[id] = nil
        board.removeConsumer(id)
        session.consumer.end(generation: session.generation)
        if channel != 0, let connection { await connection.closeChannel(channel) }
    }

    /// Waits for a connection; throws when the transport has ended or the deadline passed.
    func waitForConnection(until deadline: MonotonicTime) async throws -> RabbitConnection {
        while true {
            if let ended { throw ended }
            if let connection { return connection }
            if MonotonicTime.now >= deadline {
                throw EventBusError(.unavailable, "there is no connection to the broker")
            }
            thread.schedule(at: deadline) { [weak self] in self?.assumeIsolated { $0.wakeConnectionWaiters() } }
            await withCheckedContinuation { connectionWaiters.append($0) }
        }
    }

    private func wakeConnectionWaiters() {
        let waiters = connectionWaiters
        connectionWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Refuses everything from now on.
    func end(_ error: EventBusError) {
        ended = error
        wakeConnectionWaiters()
        for session in sessions.values { session.resolveAttach(.failure(error)) }
    }

    // MARK: while there is a connection

    /// Keeps all consumers attached until the connection ends, and says why it did.
    func serve(_ connection: RabbitConnection) async -> AMQPFailure {
        self.connection = connection
        wakeConnectionWaiters()
        let (stream, continuation) = AsyncStream.makeStream(of: UInt64.self)
        arrivals = continuation
        for id in sessions.keys.sorted() { continuation.yield(id) }
        // Work that must not end with the caller's cancellation: it ends with the connection.
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

    private func waitForEnd(of connection: RabbitConnection) async -> AMQPFailure {
        let failure = await connection.waitUntilClosed()
        arrivals?.finish()
        arrivals = nil
        self.connection = nil
        for session in sessions.values {
            detached(session, failure)
            session.wake()
        }
        wakeWatch()
        return failure
    }

    /// Attaches a consumer again and again, until the connection ends or the consumer is no longer wanted.
    private func keepAttached(_ id: UInt64, on connection: RabbitConnection) async {
        var failures = 0
        while let session = sessions[id], session.isWanted, await connection.isOpen {
            do throws(AMQPFailure) {
                try await establish(session, on: connection)
                failures = 0
                while session.phase == .attached { await sleep(session, until: nil) }
            } catch {
                guard error.isChannelOnly else { break }
                session.lastFailure = error
                let busError = error.busError(while: "attaching \(session.consumer.specification.queueName)")
                report(session)
                if error.isPermanent, session.attachWaiter != nil {
                    return session.resolveAttach(.failure(busError))
                }
                logger.warning("a consumer could not be attached", metadata: ["error": "\(busError)"])
            }
            guard session.isWanted, await connection.isOpen else { break }
            failures += 1
            let bound = min(Duration.milliseconds(50) * (1 << min(failures, 8)), .seconds(5))
            await sleep(session, until: .now.advanced(by: bound * Double.random(in: 0.5...1)))
        }
    }

    /// Suspends the consumer's task until it is woken or the time has come.
    private func sleep(_ session: ConsumerSession, until deadline: MonotonicTime?) async {
        let timer = deadline.map { deadline in
            thread.schedule(at: deadline) { [weak self, id = session.consumer.id] in
                self?.assumeIsolated { $0.sessions[id]?.wake() }
            }
        }
        await withCheckedContinuation { session.wakeUp = $0 }
        if let timer { thread.cancel(timer) }
    }

    /// Declares the queue and consumes it.
    private func establish(_ session: ConsumerSession, on connection: RabbitConnection) async throws(AMQPFailure) {
        let specification = session.consumer.specification
        session.phase = .attaching
        lastGeneration += 1
        let generation = lastGeneration
        let queueName =
            specification.broadcast
            ? "\(specification.queueName).\(EventID())" : specification.queueName
        let isNew = try await declare(specification, name: queueName, on: connection)
        guard session.phase == .attaching else { return }

        let id = session.consumer.id
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event, of: id, generation) }
        }
        guard session.phase == .attaching else { return await connection.closeChannel(channel) }
        session.channel = channel
        session.generation = generation
        session.queueName = queueName
        session.ledger = AckLedger()
        session.sightingsWithoutConsumer = 0
        session.consumer.begin(generation: generation)
        try await connection.call(
            [
                .basicQos(prefetch: UInt16(clamping: max(1, specification.prefetch))),
                .basicConsume(queue: queueName, tag: Self.tag(session)),
            ],
            on: channel
        )
        guard session.phase == .attaching else {
            // Stopped meanwhile: the broker has to hear it too. A closed one's channel is closing already.
            if session.phase == .stopped {
                try await connection.call(.basicCancel(tag: Self.tag(session)), on: channel)
            }
            return
        }
        session.phase = .attached
        session.lastFailure = nil
        report(session)
        if isNew, session.attachWaiter != nil, configuration.newQueueSettling > .zero {
            await sleep(session, until: .now.advanced(by: configuration.newQueueSettling))
            guard session.phase == .attached else { return }
        }
        session.resolveAttach(.success(()))
    }

    /// Declares dead letters, queue and bindings; returns whether the queue is a new quorum queue.
    private func declare(
        _ specification: QueueSpecification,
        name: String,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) -> Bool {
        var isNew = false
        if !specification.broadcast, configuration.queueType == .quorum, configuration.newQueueSettling > .zero {
            isNew = try await !exists(name, on: connection)
        }
        let channel = try await connection.openChannel { _ in }
        var calls: [AMQPCall] = []
        if configuration.declaration == .passive && !specification.broadcast {
            calls = [.queueDeclare(QueueDeclaration(name: name, isPassive: true))]
        } else {
            if configuration.declaration == .active { calls += plan.deadLetters(of: specification.group) }
            calls.append(.queueDeclare(plan.queue(specification, name: name)))
            calls += plan.bindings(specification, name: name)
        }
        try await connection.call(calls, on: channel)
        await connection.closeChannel(channel)
        return isNew
    }

    private func exists(_ queue: String, on connection: RabbitConnection) async throws(AMQPFailure) -> Bool {
        let channel = try await connection.openChannel { _ in }
        do throws(AMQPFailure) {
            try await connection.call(.queueDeclare(QueueDeclaration(name: queue, isPassive: true)), on: channel)
        } catch {
            if error.kind == .channelClosed(AMQPFailure.notFound) { return false }
            throw error
        }
        await connection.closeChannel(channel)
        return true
    }

    private static func tag(_ session: ConsumerSession) -> String {
        "\(session.consumer.specification.queueName)#\(session.generation)"
    }

    // MARK: what the broker says

    private func handle(_ event: ChannelEvent, of id: UInt64, _ generation: UInt64) {
        guard let session = sessions[id], session.generation == generation else { return }
        switch event {
        case .delivered(let delivery):
            receive(delivery, session)
        case .consumerCancelled:
            logger.warning(
                "the broker ended a consumer; its queue was deleted or moved",
                metadata: ["queue": "\(session.queueName)"]
            )
            guard session.phase == .attached || session.phase == .attaching else { return }
            // What it holds is still settled on its channel; a new one takes over.
            let channel = session.channel
            detached(session, AMQPFailure(.channelClosed(0), "the broker ended the consumer"))
            session.wake()
            connection?.assumeIsolated { connection in
                connection.closeChannelWithoutWaiting(channel)
            }
        case .closed(let failure):
            detached(session, failure)
            session.wake()
        case .confirmed, .returned:
            break
        }
    }

    private func receive(_ delivery: AMQPDelivery, _ session: ConsumerSession) {
        let consumer = session.consumer
        let tag = delivery.deliveryTag
        session.ledger.delivered(tag)
        if let size = delivery.message.refusedSize {
            logger.warning(
                "an event is larger than is accepted; it goes to the dead letters",
                metadata: ["queue": "\(session.queueName)", "bytes": "\(size)"]
            )
            return settle(tag, .reject, session)
        }
        do throws(NoTopic) {
            let decoded = try DecodedMessage(delivery.message, isRedelivered: delivery.isRedelivered)
            consumer.hold(
                RabbitConsumer.Held(
                    envelopeID: decoded.envelope.id,
                    topic: decoded.envelope.topic,
                    failedAttempts: decoded.failedAttempts,
                    message: delivery.message
                ),
                tag: tag
            )
            consumer.sink.receive(
                Delivery(
                    envelope: decoded.envelope,
                    attempt: decoded.failedAttempts + 1,
                    redeliveries: decoded.redeliveries,
                    replyAddress: decoded.replyAddress,
                    token: Delivery.Token(generation: session.generation, number: tag)
                )
            )
        } catch {
            deadLetterWithoutTopic(delivery, error, session)
        }
    }

    /// What has no topic cannot become an envelope: it goes to the dead letters from here.
    private func deadLetterWithoutTopic(_ delivery: AMQPDelivery, _ error: NoTopic, _ session: ConsumerSession) {
        logger.warning("an event without a topic", metadata: ["queue": "\(session.queueName)", "error": "\(error)"])
        settle(delivery.deliveryTag, .reject, session)
    }

    private func detached(_ session: ConsumerSession, _ failure: AMQPFailure) {
        guard session.generation != 0 else { return }
        let generation = session.generation
        session.generation = 0
        session.channel = 0
        session.lastFailure = failure
        if session.phase == .attached || session.phase == .attaching { session.phase = .detached }
        session.consumer.end(generation: generation)
        report(session)
    }

    // MARK: settling

    /// How long an acknowledgement may wait for others.
    private static let acknowledgementDelay = Duration.milliseconds(1)

    nonisolated func flushNow(_ consumer: RabbitConsumer) {
        let id = consumer.id
        thread.execute { [weak self] in
            self?.assumeIsolated { $0.flush(id) }
        }
    }

    nonisolated func flushSoon(_ consumer: RabbitConsumer) {
        let id = consumer.id
        thread.execute { [weak self] in
            self?.assumeIsolated { hub in
                _ = hub.thread.schedule(at: .now.advanced(by: Self.acknowledgementDelay)) { [weak hub] in
                    hub?.assumeIsolated { $0.flush(id) }
                }
            }
        }
    }

    private func flush(_ id: UInt64) {
        if let session = sessions[id] { flush(session) }
    }

    private func flush(_ session: ConsumerSession) {
        for (tag, how) in session.consumer.takeSettled() {
            if case .acknowledge = how {
                _ = session.ledger.acknowledge(tag)
            } else {
                settle(tag, how, session)
            }
        }
        guard let connection, session.channel != 0 else { return }
        let channel = session.channel
        let acknowledgements = session.ledger.flush()
        connection.assumeIsolated { connection in
            for acknowledgement in acknowledgements {
                connection.acknowledge(acknowledgement.tag, multiple: acknowledgement.multiple, on: channel)
            }
        }
    }

    private func settle(_ tag: UInt64, _ how: RabbitConsumer.Settlement, _ session: ConsumerSession) {
        guard session.ledger.remove(tag), session.channel != 0 else { return }
        let channel = session.channel
        connection?.assumeIsolated { connection in
            switch how {
            case .requeue: connection.requeue(tag, on: channel)
            case .reject, .acknowledge: connection.reject(tag, on: channel)
            }
        }
    }

    /// Sends the acknowledgements that are still on their way.
    func flushAll() {
        for session in sessions.values { flush(session) }
    }

    nonisolated func deliverAgain(_ delivery: Delivery, to consumer: RabbitConsumer, after delay: Duration) {
        thread.execute { [weak self] in
            self?.assumeIsolated { hub in
                _ = hub.thread.schedule(at: .now.advanced(by: delay)) {
                    if consumer.isHolding(delivery.token) { consumer.sink.receive(delivery) }
                }
            }
        }
    }

    // MARK: the watch over consumers

    /// Asks the broker, one queue at a time, whether our queues have consumers, and our channels whether they live.
    private func watchConsumers(on connection: RabbitConnection) async {
        var channel: UInt16 = 0
        var lastChecked: UInt64 = 0
        var checks = 0
        while await connection.isOpen {
            await pauseWatch()
            guard await connection.isOpen else { return }
            let ids = sessions.filter { $0.value.phase == .attached }.keys.sorted()
            guard let id = ids.first(where: { $0 > lastChecked }) ?? ids.first, let session = sessions[id] else {
                continue
            }
            lastChecked = id
            let generation = session.generation
            warnOfLongHolding(session)
            checks += 1
            do throws(AMQPFailure) {
                if channel == 0 { channel = try await connection.openChannel { _ in } }
                if checks % 10 == 1 { try await countUnroutableDelays(connection, channel) }
                let reply = try await connection.call(
                    .queueDeclare(QueueDeclaration(name: session.queueName, isPassive: true)),
                    on: channel
                )
                guard case .queue(_, let messages, let consumers) = reply, session.generation == generation else {
                    continue
                }
                board.setBacklog(id, messages: messages, consumers: consumers)
                session.sightingsWithoutConsumer = consumers == 0 ? session.sightingsWithoutConsumer + 1 : 0
                if session.sightingsWithoutConsumer >= 2 {
                    reattach(session, "the broker knows no consumer of the queue")
                }
                // The channel's own sign of life: a dead one fails the call, or the connection at its timeout.
                guard session.phase == .attached, session.generation == generation else { continue }
                let prefetch = UInt16(clamping: max(1, session.consumer.specification.prefetch))
                _ = try? await connection.call(.basicQos(prefetch: prefetch), on: session.channel)
            } catch {
                channel = 0
                guard error.isChannelOnly else { return }
                if session.generation == generation, error.code == AMQPFailure.notFound {
                    session.sightingsWithoutConsumer += 1
                    if session.sightingsWithoutConsumer >= 2 { reattach(session, "the queue is gone") }
                }
            }
        }
    }

    /// Delayed events whose queue was gone at the end of their delay.
    private func countUnroutableDelays(_ connection: RabbitConnection, _ channel: UInt16) async throws(AMQPFailure) {
        let queue = QueueDeclaration(name: TopologyNames.delayUnroutable, isPassive: true)
        if case .queue(_, let messages, _) = try await connection.call(.queueDeclare(queue), on: channel) {
            board.setUnroutableDelays(messages)
        }
    }

    /// A broker closes the channel of a delivery that is out for its consumer timeout, half an hour unless set.
    private func warnOfLongHolding(_ session: ConsumerSession) {
        guard let id = session.consumer.takeHeldTooLong(since: .now, limit: .seconds(24 * 60)) else { return }
        logger.warning(
            "a delivery is held for 24 minutes; after 30 the broker takes it back",
            metadata: ["queue": "\(session.queueName)", "event": "\(id)"]
        )
    }

    /// Waits until the next check is due, or the connection has ended.
    private func pauseWatch() async {
        let timer = thread.schedule(at: .now.advanced(by: configuration.consumerCheckInterval)) { [weak self] in
            self?.assumeIsolated { $0.wakeWatch() }
        }
        await withCheckedContinuation { watchWaiter = $0 }
        thread.cancel(timer)
    }

    private func wakeWatch() {
        let waiter = watchWaiter
        watchWaiter = nil
        waiter?.resume()
    }

    private func reattach(_ session: ConsumerSession, _ reason: String) {
        logger.warning(
            "a consumer is attached again",
            metadata: ["queue": "\(session.queueName)", "reason": "\(reason)"]
        )
        let channel = session.channel
        detached(session, AMQPFailure(.channelClosed(0), reason))
        session.wake()
        connection?.assumeIsolated { $0.closeChannelWithoutWaiting(channel) }
    }

    private func report(_ session: ConsumerSession) {
        board.setConsumer(
            session.consumer.id,
            name: session.consumer.specification.queueName,
            isAttached: session.phase == .attached,
            isStopped: session.phase == .stopped,
            lastFailure: session.lastFailure
        )
    }
}
